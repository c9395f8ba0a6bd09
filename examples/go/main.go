// Command logkey-example sets the key of all log groups that the tenant may see with a bulk job.
//
//	LOGKEY_ADDRESS=127.0.0.1:50051 LOGKEY_TOKEN=... go run . KEY
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	pb "logkey.example/keyassociation/v1"
)

func main() {
	conn, err := grpc.NewClient(os.Getenv("LOGKEY_ADDRESS"),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithPerRPCCredentials(token(os.Getenv("LOGKEY_TOKEN"))),
		grpc.WithUnaryInterceptor(withRetries(20*time.Second)))
	if err == nil {
		err = run(context.Background(), conn, os.Args[1])
	}
	if err != nil {
		// Programs use the reason, never the message: docs/errors.md lists the reasons.
		reason := detail[*errdetails.ErrorInfo](err).GetReason()
		fmt.Fprintln(os.Stderr, status.Code(err), reason+":", status.Convert(err).Message())
		os.Exit(1)
	}
}

func run(ctx context.Context, conn *grpc.ClientConn, key string) error {
	groups, err := listLogGroups(ctx, conn)
	if err != nil {
		return err
	}
	without := 0
	for _, group := range groups {
		if group.KmsKeyArn == "" {
			without++
		}
	}
	fmt.Printf("%d log groups, %d without a key\n", len(groups), without)
	job, err := runJob(ctx, pb.NewBulkAssociationServiceClient(conn), key)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d log groups changed\n", job.State, job.Counts.Succeeded)
	return nil
}

// listLogGroups returns the log groups of every account and Region of the tenant.
func listLogGroups(ctx context.Context, conn *grpc.ClientConn) ([]*pb.KeyAssociation, error) {
	caller, err := pb.NewTenantServiceClient(conn).GetCaller(ctx, &pb.GetCallerRequest{})
	if err != nil {
		return nil, err
	}
	keys := pb.NewKeyAssociationServiceClient(conn)
	var groups []*pb.KeyAssociation
	for _, account := range caller.Accounts {
		for _, region := range account.Regions {
			request := &pb.ListKeyAssociationsRequest{AccountId: account.AccountId, Region: region, PageSize: 2}
			// Only an empty NextPageToken marks the last page.
			for more := true; more; more = request.PageToken != "" {
				page, err := keys.ListKeyAssociations(ctx, request)
				if err != nil {
					return nil, err
				}
				groups = append(groups, page.Associations...)
				request.PageToken = page.NextPageToken
			}
		}
	}
	return groups, nil
}

// runJob plans a job, starts the plan and watches the job to its end.
func runJob(ctx context.Context, jobs pb.BulkAssociationServiceClient, key string) (*pb.BulkAssociation, error) {
	created, err := jobs.CreateBulkAssociation(ctx, &pb.CreateBulkAssociationRequest{
		Selection: &pb.Selection{},
		Change:    &pb.CreateBulkAssociationRequest_Key{Key: &pb.KeyChoice{KmsKeyId: key}},
		// With one id for all attempts, a retry cannot create a second job.
		RequestId: uuid.NewString(),
	})
	if err != nil {
		return nil, err
	}
	job, err := watch(ctx, jobs, created.BulkAssociation.Id, func(job *pb.BulkAssociation) bool {
		return job.State == pb.BulkState_BULK_STATE_PLANNING
	})
	if err != nil {
		return nil, err
	}
	fmt.Printf("plan: %d log groups, %d to change\n", job.Counts.Total, job.Counts.Waiting)
	if _, err := jobs.StartBulkAssociation(ctx, &pb.StartBulkAssociationRequest{Id: job.Id, Etag: job.Etag}); err != nil {
		return nil, err
	}
	return watch(ctx, jobs, job.Id, func(job *pb.BulkAssociation) bool {
		fmt.Fprintf(os.Stderr, "%d of %d\n", job.Counts.Succeeded, job.Counts.Total)
		return true
	})
}

// watch passes the states of a job to a function until it returns false or the job ends, and returns the last state.
// It opens the stream again if it breaks: the job is not affected.
func watch(ctx context.Context, jobs pb.BulkAssociationServiceClient, id string,
	proceed func(*pb.BulkAssociation) bool) (job *pb.BulkAssociation, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	for {
		stream, err := jobs.WatchBulkAssociation(ctx, &pb.WatchBulkAssociationRequest{Id: id})
		for err == nil {
			var update *pb.WatchBulkAssociationResponse
			if update, err = stream.Recv(); err == nil {
				if job = update.BulkAssociation; !proceed(job) {
					return job, nil
				}
			}
		}
		retry := detail[*errdetails.RetryInfo](err)
		switch {
		case errors.Is(err, io.EOF):
			return job, nil
		case retry == nil && status.Code(err) != codes.Unavailable:
			return nil, err
		}
		time.Sleep(max(retry.GetRetryDelay().AsDuration(), time.Second))
	}
}
