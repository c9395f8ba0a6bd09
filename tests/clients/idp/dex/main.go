// Runs Dex's server with in-memory storage and a mock connector that logs its only user in without a prompt.
//
// It uses Dex's server package instead of `dex serve`. The newest Dex release on the Go module proxy needs
// database packages for `dex serve` that no longer build.
package main

import (
	"context"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/dexidp/dex/server"
	"github.com/dexidp/dex/storage"
	"github.com/dexidp/dex/storage/memory"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"
)

// usage: dex LISTEN REDIRECT WEB
func main() {
	listen, redirect, web := os.Args[1], os.Args[2], os.Args[3]
	logger := logrus.New()
	logger.SetLevel(logrus.WarnLevel)
	store := memory.New(logger)
	// The second redirect URI is that of the device flow.
	client := storage.Client{ID: "logkey", Secret: "a-secret-for-tests", Name: "logkey", RedirectURIs: []string{redirect, "/device/callback"}}
	if err := store.CreateClient(client); err != nil {
		log.Fatal(err)
	}
	connector := storage.Connector{ID: "mock", Type: "mockCallback", Name: "mock"}
	if err := store.CreateConnector(connector); err != nil {
		log.Fatal(err)
	}
	dex, err := server.NewServer(context.Background(), server.Config{
		Issuer:             "http://" + listen,
		Storage:            store,
		SkipApprovalScreen: true,
		Web:                server.WebConfig{Dir: web},
		Logger:             logger,
		PrometheusRegistry: prometheus.NewRegistry(),
	})
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.Serve(listener, dex))
}
