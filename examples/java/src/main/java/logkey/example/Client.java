package logkey.example;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.rpc.RetryInfo;
import io.grpc.ClientInterceptor;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.AbstractBlockingStub;
import io.grpc.stub.MetadataUtils;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;

/** Calls with a token and a deadline, and with a retry when the service says that a retry can succeed. */
final class Client {
  private static final Duration TIMEOUT = Duration.ofSeconds(20);

  /** Calls a method. Retries after the delay of `RetryInfo`, as long as the deadline permits. */
  static <S extends AbstractBlockingStub<S>, R> R call(S stub, Function<S, R> method) throws Exception {
    long deadline = System.nanoTime() + TIMEOUT.toNanos();
    while (true) {
      try {
        return method.apply(stub.withDeadlineAfter(deadline - System.nanoTime(), TimeUnit.NANOSECONDS));
      } catch (StatusRuntimeException error) {
        Duration delay = retryDelay(error).orElseThrow(() -> error);
        if (System.nanoTime() + delay.toNanos() >= deadline) throw error;
        Thread.sleep(delay.toMillis() + 1);
      }
    }
  }

  /** The time after which a retry can succeed. Empty if a retry does not help. */
  static Optional<Duration> retryDelay(StatusRuntimeException error) throws InvalidProtocolBufferException {
    return detail(error, RetryInfo.class)
        .map(RetryInfo::getRetryDelay)
        .map(delay -> Duration.ofSeconds(delay.getSeconds(), delay.getNanos()));
  }

  /** The detail of this type in an error, such as `ErrorInfo`. */
  static <D extends Message> Optional<D> detail(StatusRuntimeException error, Class<D> type)
      throws InvalidProtocolBufferException {
    for (Any detail : StatusProto.fromThrowable(error).getDetailsList()) {
      if (detail.is(type)) return Optional.of(detail.unpack(type));
    }
    return Optional.empty();
  }

  /** Sends a bearer token with each call. */
  static ClientInterceptor withToken(String token) {
    Metadata headers = new Metadata();
    headers.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + token);
    return MetadataUtils.newAttachHeadersInterceptor(headers);
  }

  private Client() {}
}
