package browse_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
	"github.com/shoebox-photos/shoebox/gateway/auth"
	"github.com/shoebox-photos/shoebox/gateway/browse"
)

// The page stands behind the middleware that knows who has signed in; here
// everybody is ana.
func ExampleNew() {
	ctx := context.Background()
	bucket, index := membucket.New(), memkv.New()
	accounts, err := account.Open(ctx, bucket, index, account.GenerateKeys(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	ana, err := accounts.CreateUser(ctx, account.NewUser{Login: "ana"})
	if err != nil {
		fmt.Println(err)
		return
	}
	page := browse.New(backend.New(bucket, index, nil), accounts, &browse.Options{PublicURL: "https://photos.example.org"})
	signedIn := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := &auth.Principal{UID: ana.UID, Login: ana.Login}
		page.ServeHTTP(w, r.WithContext(auth.With(r.Context(), who)))
	})

	w := httptest.NewRecorder()
	signedIn.ServeHTTP(w, httptest.NewRequest("GET", "/api/timeline", nil))
	fmt.Print(w.Code, " ", w.Body)
	// Output: 200 {"items":[]}
}
