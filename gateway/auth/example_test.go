package auth_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
	"github.com/shoebox-photos/shoebox/gateway/auth"
)

func Example() {
	ctx := context.Background()
	accounts, err := account.Open(ctx, membucket.New(), memkv.New(), account.GenerateKeys(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	ana, _ := accounts.CreateUser(ctx, account.NewUser{Login: "ana"})
	_, password, _ := accounts.Mint(ctx, ana.UID, account.MintOptions{Label: "phone", DAV: true})

	a, err := auth.New(accounts, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	dav := a.Basic("Shoebox", "dav", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := auth.From(r.Context())
		fmt.Printf("%s's %s asks for %s\n", p.Login, p.Label, r.URL.Path)
	}))

	r := httptest.NewRequest("GET", "/dav/photos/a.jpg", nil)
	r.RemoteAddr = "127.0.0.1:50000"
	r.SetBasicAuth("ana", string(password))
	dav.ServeHTTP(httptest.NewRecorder(), r)
	// Output: ana's phone asks for /dav/photos/a.jpg
}
