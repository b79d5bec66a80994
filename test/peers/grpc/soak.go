package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
)

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
