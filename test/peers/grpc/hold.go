package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// hold prints three lines: which server has answered a call that does not end by itself, the status that the call gets in the end, and that of a call
// after the next line of standard input. The first one is empty where the server answers nothing before the end.
func hold(conn *grpc.ClientConn, kind string) error {
	c := testgrpc.NewTestServiceClient(conn)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := holdCall(metadata.AppendToOutgoingContext(ctx, held, "yes"), c, kind)
	fmt.Println(status.Code(err), status.Convert(err).Message())
	_, _ = os.Stdin.Read(make([]byte, 1))
	_, err = c.EmptyCall(ctx, &testgrpc.Empty{})
	fmt.Println(status.Code(err), status.Convert(err).Message())
	return nil
}

func holdCall(ctx context.Context, c testgrpc.TestServiceClient, kind string) error {
	switch kind {
	case "both": // which has had one answer
		s, err := c.FullDuplexCall(ctx)
		if err != nil {
			return err
		}
		one := []*testgrpc.ResponseParameters{{Size: size}}
		if err := s.Send(&testgrpc.StreamingOutputCallRequest{ResponseParameters: one, Payload: payload()}); err != nil {
			return err
		}
		if _, err := s.Recv(); err != nil {
			return err
		}
		fields, _ := s.Header()
		fmt.Println(nameIn(fields))
		_, err = s.Recv()
		return err
	case "upload": // which has had no answer, not even its head
		s, err := c.StreamingInputCall(ctx)
		if err != nil {
			return err
		}
		if err := s.Send(&testgrpc.StreamingInputCallRequest{Payload: payload()}); err != nil {
			return err
		}
		fmt.Println()
		return s.RecvMsg(&testgrpc.StreamingInputCallResponse{})
	case "download": // whose server sleeps before it answers
		late := []*testgrpc.ResponseParameters{{Size: 1, IntervalUs: int32(time.Minute / time.Microsecond)}}
		s, err := c.StreamingOutputCall(ctx, &testgrpc.StreamingOutputCallRequest{ResponseParameters: late})
		if err != nil {
			return err
		}
		fmt.Println()
		_, err = s.Recv()
		return err
	}
	return errUsage
}

func nameIn(fields metadata.MD) string {
	if names := fields.Get(serverName); len(names) == 1 {
		return names[0]
	}
	return "nobody"
}
