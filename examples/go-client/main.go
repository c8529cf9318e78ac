// SPDX-License-Identifier: MIT

// go-client says a line to a service, and prints what comes back:
//
//	go run . PARTITION SERVICE TEXT
//
// On Windows the same program imports github.com/Microsoft/go-winio, and takes
// GUIDs: only Resolve, which looks names up, is not there.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	winio "hvsocket"
)

func talk(partition, service, text string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	addr, err := winio.Resolve(ctx, partition, service)
	if err != nil {
		return err
	}
	// a VM that is just starting refuses at first
	dialer := winio.HvsockDialer{Retries: 10, RetryWait: time.Second}
	conn, err := dialer.Dial(ctx, addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err = fmt.Fprintln(conn, text); err != nil {
		return err
	}
	if err = conn.CloseWrite(); err != nil {
		return err
	}
	_, err = io.Copy(os.Stdout, conn)
	return err
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: go-client PARTITION SERVICE TEXT")
		os.Exit(2)
	}
	if err := talk(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "go-client:", err)
		os.Exit(1)
	}
}
