package logkey.example;

import com.google.rpc.ErrorInfo;
import io.grpc.Context;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import logkey.keyassociation.v1.AccountGrant;
import logkey.keyassociation.v1.BulkAssociation;
import logkey.keyassociation.v1.BulkAssociationServiceGrpc;
import logkey.keyassociation.v1.BulkAssociationServiceGrpc.BulkAssociationServiceBlockingStub;
import logkey.keyassociation.v1.BulkState;
import logkey.keyassociation.v1.CreateBulkAssociationRequest;
import logkey.keyassociation.v1.GetCallerRequest;
import logkey.keyassociation.v1.GetCallerResponse;
import logkey.keyassociation.v1.KeyAssociation;
import logkey.keyassociation.v1.KeyAssociationServiceGrpc;
import logkey.keyassociation.v1.KeyChoice;
import logkey.keyassociation.v1.ListKeyAssociationsRequest;
import logkey.keyassociation.v1.ListKeyAssociationsResponse;
import logkey.keyassociation.v1.Selection;
import logkey.keyassociation.v1.StartBulkAssociationRequest;
import logkey.keyassociation.v1.TenantServiceGrpc;
import logkey.keyassociation.v1.WatchBulkAssociationRequest;
import logkey.keyassociation.v1.WatchBulkAssociationResponse;

/** Sets the key of all log groups that the tenant may see with a bulk job. The argument is the key. */
public final class Main {
  public static void main(String[] arguments) throws Exception {
    ManagedChannel channel = Grpc.newChannelBuilder(System.getenv("LOGKEY_ADDRESS"), InsecureChannelCredentials.create())
        .intercept(Client.withToken(System.getenv("LOGKEY_TOKEN"))).build();
    try {
      run(channel, arguments[0]);
    } catch (StatusRuntimeException error) {
      // Programs use the reason, never the message: docs/errors.md lists the reasons.
      String reason = Client.detail(error, ErrorInfo.class).map(ErrorInfo::getReason).orElse("");
      System.err.println(error.getStatus().getCode() + " " + reason + ": " + error.getStatus().getDescription());
      System.exit(1);
    } finally {
      channel.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
    }
  }

  private static void run(ManagedChannel channel, String key) throws Exception {
    List<KeyAssociation> groups = listLogGroups(channel);
    long withoutKey = groups.stream().filter(group -> group.getKmsKeyArn().isEmpty()).count();
    System.out.printf("%d log groups, %d without a key%n", groups.size(), withoutKey);
    BulkAssociation job = runJob(BulkAssociationServiceGrpc.newBlockingStub(channel), key);
    System.out.printf("%s: %d log groups changed%n", job.getState(), job.getCounts().getSucceeded());
  }

  /** The log groups of every account and Region of the tenant. */
  private static List<KeyAssociation> listLogGroups(ManagedChannel channel) throws Exception {
    var tenant = TenantServiceGrpc.newBlockingStub(channel);
    var keys = KeyAssociationServiceGrpc.newBlockingStub(channel);
    GetCallerResponse caller = Client.call(tenant, stub -> stub.getCaller(GetCallerRequest.getDefaultInstance()));
    List<KeyAssociation> groups = new ArrayList<>();
    for (AccountGrant account : caller.getAccountsList()) {
      for (String region : account.getRegionsList()) {
        String pageToken = "";
        do {
          var request = ListKeyAssociationsRequest.newBuilder().setAccountId(account.getAccountId()).setRegion(region)
              .setPageSize(2).setPageToken(pageToken).build();
          ListKeyAssociationsResponse page = Client.call(keys, stub -> stub.listKeyAssociations(request));
          groups.addAll(page.getAssociationsList());
          pageToken = page.getNextPageToken();
        } while (!pageToken.isEmpty()); // Only an empty token marks the last page.
      }
    }
    return groups;
  }

  /** Plans a job, starts the plan and watches the job to its end. */
  private static BulkAssociation runJob(BulkAssociationServiceBlockingStub jobs, String key)
      throws Exception {
    // With one id for all attempts, a retry cannot create a second job.
    var request = CreateBulkAssociationRequest.newBuilder().setSelection(Selection.getDefaultInstance())
        .setKey(KeyChoice.newBuilder().setKmsKeyId(key)).setRequestId(UUID.randomUUID().toString()).build();
    String id = Client.call(jobs, stub -> stub.createBulkAssociation(request)).getBulkAssociation().getId();
    BulkAssociation plan = watch(jobs, id, job -> job.getState() == BulkState.BULK_STATE_PLANNING);
    System.out.printf("plan: %d log groups, %d to change%n", plan.getCounts().getTotal(), plan.getCounts().getWaiting());
    var start = StartBulkAssociationRequest.newBuilder().setId(id).setEtag(plan.getEtag()).build();
    Client.call(jobs, stub -> stub.startBulkAssociation(start));
    return watch(jobs, id, job -> {
      System.err.printf("%d of %d%n", job.getCounts().getSucceeded(), job.getCounts().getTotal());
      return true;
    });
  }

  /**
   * Passes the states of a job to a predicate until it returns false or the job ends, and returns the last state.
   * Opens the stream again if it breaks: the job is not affected.
   */
  private static BulkAssociation watch(
      BulkAssociationServiceBlockingStub jobs, String id, Predicate<BulkAssociation> proceed)
      throws Exception {
    var request = WatchBulkAssociationRequest.newBuilder().setId(id).build();
    while (true) {
      Context.CancellableContext untilReturn = Context.current().withCancellation();
      Context before = untilReturn.attach();
      try {
        BulkAssociation job = null;
        Iterator<WatchBulkAssociationResponse> updates =
            jobs.withDeadlineAfter(1, TimeUnit.HOURS).watchBulkAssociation(request);
        while (updates.hasNext()) {
          job = updates.next().getBulkAssociation();
          if (!proceed.test(job)) break;
        }
        return job;
      } catch (StatusRuntimeException error) {
        var delay = Client.retryDelay(error);
        if (delay.isEmpty() && error.getStatus().getCode() != Status.Code.UNAVAILABLE) throw error;
        Thread.sleep(delay.map(it -> it.toMillis() + 1).orElse(1000L));
      } finally {
        untilReturn.detach(before);
        untilReturn.cancel(null);
      }
    }
  }
}
