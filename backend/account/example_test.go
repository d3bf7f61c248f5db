package account_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
)

func Example() {
	ctx := context.Background()
	accounts, err := account.Open(ctx, membucket.New(), memkv.New(), account.GenerateKeys(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	ana, _ := accounts.CreateUser(ctx, account.NewUser{Login: "ana"})
	p, password, _ := accounts.Mint(ctx, ana.UID, account.MintOptions{Label: "phone", DAV: true, Mode: backend.UploadOnly})
	fmt.Println("shown once, and not by accident:", password)

	_, u, err := accounts.Check(ctx, string(password))
	fmt.Println(u.Login, err)

	accounts.Revoke(ctx, ana.UID, p.ID)
	_, _, err = accounts.Check(ctx, string(password))
	fmt.Println(errors.Is(err, account.ErrRefused), err)
	// Output:
	// shown once, and not by accident: redacted
	// ana <nil>
	// true This app password was revoked. Make a new one on the Devices page.
}
