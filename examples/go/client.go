package main

import (
	"context"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// token sends a bearer token with each call.
type token string

func (t token) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(t)}, nil
}

// RequireTransportSecurity returns false because the example connects without TLS.
func (token) RequireTransportSecurity() bool { return false }

// withRetries gives each call a deadline, and retries it after the delay of RetryInfo as long as the deadline permits.
func withRetries(timeout time.Duration) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn,
		invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		for {
			err := invoke(ctx, method, request, reply, conn, options...)
			retry := detail[*errdetails.RetryInfo](err)
			delay := retry.GetRetryDelay().AsDuration()
			if deadline, _ := ctx.Deadline(); retry == nil || time.Until(deadline) < delay {
				return err
			}
			time.Sleep(delay)
		}
	}
}

// detail returns the detail of type D in an error, such as *errdetails.ErrorInfo, or nil.
func detail[D *errdetails.RetryInfo | *errdetails.ErrorInfo](err error) D {
	for _, found := range status.Convert(err).Details() {
		if found, ok := found.(D); ok {
			return found
		}
	}
	return nil
}
