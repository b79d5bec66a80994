// Command grpc is gRPC's own interoperability test, as a server and as a client. It has a module of its own, since those packages need more than Poise does.
//
//	grpc serve NAME             listens on a port of 127.0.0.1, which it prints, and answers with the header x-server: NAME; a line of standard input is its
//	                            health from then on: SERVING or NOT_SERVING
//	grpc call ADDRESS CASE...   does the cases, and ends with an error if one fails; CA= names the file of who has signed the server's certificate
//	grpc spread ADDRESS N       makes N calls over one connection, and prints how many each server has answered
//	grpc hold ADDRESS CALL      makes a call that does not end by itself, prints the server's name, what the call comes to, and, after a line of standard
//	                            input, another call
//	grpc soak ADDRESS FOR       makes calls of all kinds for a time, and counts those that fail
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/orca"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage: grpc serve NAME | call ADDRESS CASE... | spread ADDRESS N | hold ADDRESS CALL | soak ADDRESS FOR")

func run(args []string) error {
	if len(args) == 2 && args[0] == "serve" {
		return serve(args[1])
	}
	if len(args) < 3 {
		return errUsage
	}
	conn, err := dial(args[1], "{}")
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
	case "hold":
		return hold(conn, args[2])
	case "soak":
		d, err := time.ParseDuration(args[2])
		if err != nil {
			return err
		}
		return soak(conn, d)
	}
	return errUsage
}

func dial(addr, config string) (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if ca := os.Getenv("CA"); ca != "" {
		var err error
		if creds, err = credentials.NewClientTLSFromFile(ca, "poise.test"); err != nil {
			return nil, err
		}
	}
	return grpc.NewClient(addr, grpc.WithTransportCredentials(creds), grpc.WithDefaultServiceConfig(config))
}

// serverName names the server that has answered. A call with held makes the server say that it has it.
const serverName, held = "x-server", "x-held"

// serve ends with its standard input. CERT and KEY have it speak TLS.
func serve(name string) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	named := func(ctx context.Context, r any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		_ = grpc.SetHeader(ctx, metadata.Pairs(serverName, name))
		answer, err := next(ctx, r)
		if a, ok := answer.(*testgrpc.SimpleResponse); ok && r.(*testgrpc.SimpleRequest).GetFillServerId() {
			a.ServerId = name
		}
		return answer, err
	}
	stream := func(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
		_ = s.SetHeader(metadata.Pairs(serverName, name))
		if fields, _ := metadata.FromIncomingContext(s.Context()); len(fields.Get(held)) > 0 {
			fmt.Println(held)
		}
		return next(srv, s)
	}
	options := []grpc.ServerOption{grpc.UnaryInterceptor(named), grpc.StreamInterceptor(stream), orca.CallMetricsServerOption(nil)}
	if cert := os.Getenv("CERT"); cert != "" {
		creds, err := credentials.NewServerTLSFromFile(cert, os.Getenv("KEY"))
		if err != nil {
			return err
		}
		options = append(options, grpc.Creds(creds))
	}
	s := grpc.NewServer(options...)
	testgrpc.RegisterTestServiceServer(s, interop.NewTestServer())
	state := health.NewServer()
	grpc_health_v1.RegisterHealthServer(s, state)
	fmt.Println(ln.Addr())
	go func() {
		defer s.Stop()
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			state.SetServingStatus("", grpc_health_v1.HealthCheckResponse_ServingStatus(grpc_health_v1.HealthCheckResponse_ServingStatus_value[lines.Text()]))
		}
	}()
	return s.Serve(ln)
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
		times[nameIn(header)]++
		mu.Unlock()
	}
	for name, n := range times {
		fmt.Println(name, n)
	}
	return nil
}
