// Command grpc is gRPC's own interoperability test, as a server and as a client. It has a module of its own, since those packages need more than Poise does.
//
//	grpc serve NAME             listens on a port of 127.0.0.1, which it prints, and answers with the header x-server: NAME
//	grpc call ADDRESS CASE...   does the cases, and ends with an error if one fails; CA= names the file of who has signed the server's certificate
//	grpc spread ADDRESS N       makes N calls over one connection, and prints how many each server has answered
//	grpc soak ADDRESS FOR       makes calls of all kinds for a time, and counts those that fail
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage: grpc serve NAME | call ADDRESS CASE... | spread ADDRESS N | soak ADDRESS FOR")

func run(args []string) error {
	if len(args) == 2 && args[0] == "serve" {
		return serve(args[1])
	}
	if len(args) < 3 {
		return errUsage
	}
	conn, err := dial(args[1])
	if err != nil {
		return err
	}
	defer conn.Close()
	switch args[0] {
	case "call":
		return call(conn, args[2:])
	case "spread":
		n, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		return spread(conn, n)
	case "soak":
		d, err := time.ParseDuration(args[2])
		if err != nil {
			return err
		}
		return soak(conn, d)
	}
	return errUsage
}

func dial(addr string) (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if ca := os.Getenv("CA"); ca != "" {
		var err error
		if creds, err = credentials.NewClientTLSFromFile(ca, "poise.test"); err != nil {
			return nil, err
		}
	}
	return grpc.NewClient(addr, grpc.WithTransportCredentials(creds))
}

const serverName = "x-server"

// serve ends with its standard input. CERT and KEY have it speak TLS.
func serve(name string) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	named := func(ctx context.Context, r any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		_ = grpc.SetHeader(ctx, metadata.Pairs(serverName, name))
		return next(ctx, r)
	}
	options := []grpc.ServerOption{grpc.UnaryInterceptor(named)}
	if cert := os.Getenv("CERT"); cert != "" {
		creds, err := credentials.NewServerTLSFromFile(cert, os.Getenv("KEY"))
		if err != nil {
			return err
		}
		options = append(options, grpc.Creds(creds))
	}
	s := grpc.NewServer(options...)
	testgrpc.RegisterTestServiceServer(s, interop.NewTestServer())
	grpc_health_v1.RegisterHealthServer(s, health.NewServer())
	fmt.Println(ln.Addr())
	go func() { _, _ = io.Copy(io.Discard, os.Stdin); s.Stop() }()
	return s.Serve(ln)
}

// cases are those of gRPC's interoperability tests that need no credentials of a cloud.
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
			return fmt.Errorf("no case is called %s", name)
		}
		fmt.Println(name)
		do(ctx, conn)
	}
	return nil
}

func spread(conn *grpc.ClientConn, n int) error {
	c := testgrpc.NewTestServiceClient(conn)
	var mu sync.Mutex
	times := map[string]int{}
	for range n {
		var header metadata.MD
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		_, err := c.EmptyCall(ctx, &testgrpc.Empty{}, grpc.Header(&header), grpc.WaitForReady(true))
		cancel()
		if err != nil {
			return err
		}
		mu.Lock()
		times[header.Get(serverName)[0]]++
		mu.Unlock()
	}
	for name, n := range times {
		fmt.Println(name, n)
	}
	return nil
}

// soak makes calls of all kinds at once.
func soak(conn *grpc.ClientConn, d time.Duration) error {
	c := testgrpc.NewTestServiceClient(conn)
	until := time.Now().Add(d)
	kinds := map[string]func(context.Context, testgrpc.TestServiceClient) error{
		"unary": unary, "upload": upload, "download": download, "both": both,
	}
	var wg sync.WaitGroup
	var failed atomic.Int64
	var counts sync.Map
	for name, kind := range kinds {
		count := &atomic.Int64{}
		counts.Store(name, count)
		for range 4 {
			wg.Go(func() {
				for time.Now().Before(until) {
					ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
					if err := kind(ctx, c); err != nil {
						if failed.Add(1) < 10 {
							fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
						}
					}
					cancel()
					count.Add(1)
				}
			})
		}
	}
	wg.Wait()
	for name := range kinds {
		n, _ := counts.Load(name)
		fmt.Println(name, n.(*atomic.Int64).Load())
	}
	if n := failed.Load(); n > 0 {
		return fmt.Errorf("%d calls failed", n)
	}
	return nil
}

const size = 20_000

func payload() *testgrpc.Payload { return &testgrpc.Payload{Body: make([]byte, size)} }

func unary(ctx context.Context, c testgrpc.TestServiceClient) error {
	r, err := c.UnaryCall(ctx, &testgrpc.SimpleRequest{ResponseSize: size, Payload: payload()})
	if err == nil && len(r.GetPayload().GetBody()) != size {
		return errors.New("the answer is too short")
	}
	return err
}

func upload(ctx context.Context, c testgrpc.TestServiceClient) error {
	s, err := c.StreamingInputCall(ctx)
	if err != nil {
		return err
	}
	for range 10 {
		if err := s.Send(&testgrpc.StreamingInputCallRequest{Payload: payload()}); err != nil {
			return err
		}
	}
	r, err := s.CloseAndRecv()
	if err == nil && r.GetAggregatedPayloadSize() != 10*size {
		return errors.New("the server got too little")
	}
	return err
}

func sizes() (p []*testgrpc.ResponseParameters) {
	for range 10 {
		p = append(p, &testgrpc.ResponseParameters{Size: size})
	}
	return p
}

func download(ctx context.Context, c testgrpc.TestServiceClient) error {
	s, err := c.StreamingOutputCall(ctx, &testgrpc.StreamingOutputCallRequest{ResponseParameters: sizes()})
	if err != nil {
		return err
	}
	for range 10 {
		if _, err := s.Recv(); err != nil {
			return err
		}
	}
	return ended(s.Recv())
}

func both(ctx context.Context, c testgrpc.TestServiceClient) error {
	s, err := c.FullDuplexCall(ctx)
	if err != nil {
		return err
	}
	for _, p := range sizes() {
		if err := s.Send(&testgrpc.StreamingOutputCallRequest{ResponseParameters: []*testgrpc.ResponseParameters{p}, Payload: payload()}); err != nil {
			return err
		}
		if _, err := s.Recv(); err != nil {
			return err
		}
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	return ended(s.Recv())
}

func ended(_ *testgrpc.StreamingOutputCallResponse, err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		err = errors.New("more came than was asked for")
	}
	return err
}
