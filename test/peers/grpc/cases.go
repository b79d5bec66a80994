package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
)

// cases are those of gRPC's interoperability tests that need no credentials of a cloud, and nothing special of the servers.
var cases = map[string]func(context.Context, *grpc.ClientConn){
	"empty_unary":                 of(interop.DoEmptyUnaryCall),
	"large_unary":                 of(interop.DoLargeUnaryCall),
	"client_streaming":            of(interop.DoClientStreaming),
	"server_streaming":            of(interop.DoServerStreaming),
	"ping_pong":                   of(interop.DoPingPong),
	"empty_stream":                of(interop.DoEmptyStream),
	"timeout_on_sleeping_server":  of(interop.DoTimeoutOnSleepingServer),
	"cancel_after_begin":          of(interop.DoCancelAfterBegin),
	"cancel_after_first_response": of(interop.DoCancelAfterFirstResponse),
	"status_code_and_message":     of(interop.DoStatusCodeAndMessage),
	"special_status_message":      of(interop.DoSpecialStatusMessage),
	"custom_metadata":             of(interop.DoCustomMetadata),
	"unimplemented_method":        interop.DoUnimplementedMethod,
	"unimplemented_service": func(ctx context.Context, c *grpc.ClientConn) {
		interop.DoUnimplementedService(ctx, testgrpc.NewUnimplementedServiceClient(c))
	},
	"orca_per_rpc": withLoad(interop.DoORCAPerRPCTest),
	"rpc_soak": func(ctx context.Context, c *grpc.ClientConn) {
		manyCalls(ctx, func() (*grpc.ClientConn, func()) { return c, func() {} })
	},
	"channel_soak": func(ctx context.Context, c *grpc.ClientConn) {
		manyCalls(ctx, func() (*grpc.ClientConn, func()) {
			own := another(c, "{}")
			return own, func() { _ = own.Close() }
		})
	},
}

// special are cases of which each needs a pool of its own: calls that all go to one server, and a server that tells its load in a call without end.
var special = map[string]func(context.Context, *grpc.ClientConn){
	"pick_first_unary": func(ctx context.Context, c *grpc.ClientConn) {
		interop.DoPickFirstUnary(ctx, testgrpc.NewTestServiceClient(c))
	},
	"orca_oob": withLoad(interop.DoORCAOOBTest),
}

// loads has the client balance by what load servers tell, and so learn of it. To that end it asks servers for that, in a call without end.
const loads = `{"loadBalancingConfig": [{"test_backend_metrics_load_balancer": {}}]}`

func withLoad(do func(context.Context, testgrpc.TestServiceClient)) func(context.Context, *grpc.ClientConn) {
	return func(ctx context.Context, c *grpc.ClientConn) {
		own := another(c, loads)
		defer own.Close()
		do(ctx, testgrpc.NewTestServiceClient(own))
	}
}

// another is a connection to the same address.
func another(c *grpc.ClientConn, config string) *grpc.ClientConn {
	own, err := dial(c.Target(), config)
	if err != nil {
		panic(err)
	}
	return own
}

func manyCalls(ctx context.Context, conn func() (*grpc.ClientConn, func())) {
	interop.DoSoakTest(ctx, interop.SoakTestConfig{
		RequestSize: 70_000, ResponseSize: 80_000, PerIterationMaxAcceptableLatency: 10 * time.Second, OverallTimeout: 30 * time.Second,
		NumWorkers: 4, Iterations: 20, ChannelForTest: conn,
	})
}

func of(do func(context.Context, testgrpc.TestServiceClient, ...grpc.CallOption)) func(context.Context, *grpc.ClientConn) {
	return func(ctx context.Context, c *grpc.ClientConn) { do(ctx, testgrpc.NewTestServiceClient(c)) }
}

// call does cases; all for "all". One that fails ends the process.
func call(conn *grpc.ClientConn, names []string) error {
	if slices.Equal(names, []string{"all"}) {
		names = nil
		for name := range cases {
			names = append(names, name)
		}
		slices.Sort(names)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, name := range names {
		do := cases[name]
		if do == nil {
			do = special[name]
		}
		if do == nil {
			return fmt.Errorf("no case is called %s", name)
		}
		fmt.Println(name)
		do(ctx, conn)
	}
	return nil
}
