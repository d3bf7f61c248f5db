package account

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv"
)

// The rows. All data is JSON with "v":1; an absent member is its zero value.
//
//	P                        S        logged  data
//	u#<uid>                  -        yes     userRow
//	u#<uid>                  k#<id>   yes     {"v":1}: the user has this app password
//	u#<uid>                  r#<ms 13 digits>#<id> yes {"v":1}: the user had it until then
//	u#<uid>                  o#<sha256(iss NUL sub)> yes proofRow (proof.go)
//	n#                       <uid>    yes     {"v":1}: there is this user (no login name is "")
//	n#<login>                -        yes     {"v":1,"uid":…}
//	n#@                      <sha256(iss NUL e-mail)> yes inviteRow (invite.go)
//	x#<sha256(iss NUL sub)>  -        yes     {"v":1,"uid":…}
//	k#<id>                   -        yes     passwordRow
//	ku#<id>                  -        no      useRow: last use of the app password
//	s#<sha256(token)>        -        no      sessionRow
//	su#<uid>                 <sha256> no      {"v":1}: the user has this session
//	ll#                      <sha256> no      linkRow
//	lf#                      <sha256> no      flowRow, in flow.go
//	au#                      <ms 13 digits>#<count><random> no eventRow (audit.go): the newest MaxEvents
//	once#                    <kind>#<sha256> no  onceRow: something that may happen once has; leaseRow (lease.go)
//
// Hashes are in lower-case hex. Times are milliseconds since 1970.

const only = "-" // sort key of a partition's one row

func userKey(uid string) kv.Key             { return kv.Key{P: "u#" + uid, S: only} }
func userPasswordKey(uid, id string) kv.Key { return kv.Key{P: "u#" + uid, S: "k#" + id} }
func userRevokedKey(uid string, t time.Time, id string) kv.Key {
	return kv.Key{P: "u#" + uid, S: fmt.Sprintf("r#%013d#%s", max(t.UnixMilli(), 0), id)}
}
func memberKey(uid string) kv.Key            { return kv.Key{P: "n#", S: uid} }
func loginKey(login string) kv.Key           { return kv.Key{P: "n#" + login, S: only} }
func identityKey(iss, sub string) kv.Key     { return kv.Key{P: "x#" + hash(iss+"\x00"+sub), S: only} }
func passwordKey(id string) kv.Key           { return kv.Key{P: "k#" + id, S: only} }
func useKey(id string) kv.Key                { return kv.Key{P: "ku#" + id, S: only} }
func sessionKey(hash string) kv.Key          { return kv.Key{P: "s#" + hash, S: only} }
func userSessionKey(uid, hash string) kv.Key { return kv.Key{P: "su#" + uid, S: hash} }
func linkKey(hash string) kv.Key             { return kv.Key{P: "ll#", S: hash} }
func onceKey(kind, hash string) kv.Key       { return kv.Key{P: "once#", S: kind + "#" + hash} }

// ref is the data of rows that name a user, or only exist.
type ref struct {
	V   int    `json:"v"`
	UID string `json:"uid,omitempty"`
}

type userRow struct {
	V          int        `json:"v"`
	Login      string     `json:"login"`
	Name       string     `json:"name,omitempty"`
	Email      string     `json:"email,omitempty"`
	Owner      bool       `json:"owner,omitempty"`
	State      State      `json:"state,omitempty"`
	Epoch      int64      `json:"epoch,omitempty"`
	KeyEpoch   int64      `json:"keyEpoch,omitempty"`
	Quota      int64      `json:"quota,omitempty"`
	QuotaFiles int64      `json:"quotaFiles,omitempty"`
	Created    int64      `json:"created"`
	First      int64      `json:"first,omitempty"`
	IDs        []identity `json:"ids,omitempty"`
}

type identity struct {
	Issuer  string `json:"iss"`
	Subject string `json:"sub"`
	Email   string `json:"email,omitempty"`
	Pinned  bool   `json:"pinned,omitempty"`
	Added   int64  `json:"added"`
}

func (r *userRow) user(uid string) *User {
	u := &User{
		UID: uid, Login: r.Login, Name: r.Name, Email: r.Email, Owner: r.Owner, State: r.State,
		Epoch: r.Epoch, KeyEpoch: r.KeyEpoch, Quota: r.Quota, QuotaFiles: r.QuotaFiles, Created: when(r.Created), FirstLogin: when(r.First),
	}
	for _, id := range r.IDs {
		u.Identities = append(u.Identities, Identity{id.Issuer, id.Subject, id.Email, id.Pinned, when(id.Added)})
	}
	return u
}

type passwordRow struct {
	V       int          `json:"v"`
	UID     string       `json:"uid"`
	Label   string       `json:"label,omitempty"`
	DAV     bool         `json:"dav,omitempty"`
	S3      bool         `json:"s3,omitempty"`
	Mode    backend.Mode `json:"mode,omitempty"`
	Root    backend.Ino  `json:"root,omitempty"`
	Created int64        `json:"created"`
	Expires int64        `json:"expires,omitempty"`
	Revoked int64        `json:"revoked,omitempty"`
	Epoch   int64        `json:"epoch,omitempty"` // the user's KeyEpoch when it was minted
	MAC     []byte       `json:"mac"`             // HMAC-SHA256(pepper, secret)
	Pepper  uint32       `json:"pepper"`          // version of the master key the pepper is derived from
	Sealed  []byte       `json:"sealed,omitempty"`
}

func (r *passwordRow) password(id string) *AppPassword {
	p := &AppPassword{
		ID: id, UID: r.UID, Label: r.Label, DAV: r.DAV, S3: r.S3, Mode: r.Mode, Root: r.Root,
		Created: when(r.Created), Expires: when(r.Expires), Revoked: when(r.Revoked),
		epoch: r.Epoch, pepper: r.Pepper, sealed: r.Sealed,
	}
	p.hasMAC = copy(p.mac[:], r.MAC) == len(p.mac)
	return p
}

type useRow struct {
	V     int    `json:"v"`
	At    int64  `json:"at"`
	Proto string `json:"proto"`
	Net   string `json:"net,omitempty"`
	Agent string `json:"agent,omitempty"`
}

type sessionRow struct {
	V       int    `json:"v"`
	UID     string `json:"uid"`
	Epoch   int64  `json:"epoch,omitempty"`
	Created int64  `json:"created"`
	Seen    int64  `json:"seen"`
	Auth    int64  `json:"auth"`
	Issuer  string `json:"iss,omitempty"`
	SID     string `json:"sid,omitempty"`
	IDToken []byte `json:"idToken,omitempty"` // sealed
	Net     string `json:"net,omitempty"`
	Agent   string `json:"agent,omitempty"`
}

type linkRow struct {
	V       int    `json:"v"`
	UID     string `json:"uid"`
	Epoch   int64  `json:"epoch,omitempty"`
	Expires int64  `json:"expires"`
}

type onceRow struct {
	V       int   `json:"v"`
	Expires int64 `json:"expires"`
}

// encode is the data of a row.
func encode(row any) []byte {
	d, err := json.Marshal(row)
	if err != nil {
		panic("account: internal error: " + err.Error()) // rows are plain structs
	}
	return d
}

// decode reads the data of a row. A later version of it is refused rather than
// half understood.
func decode(d []byte, row any) error {
	var v struct {
		V int `json:"v"`
	}
	if err := json.Unmarshal(d, &v); err != nil {
		return fmt.Errorf("read a row of accounts: %w", err)
	}
	if v.V != 1 {
		return fmt.Errorf("read a row of accounts: version %d was written by a newer shoebox", v.V)
	}
	if err := json.Unmarshal(d, row); err != nil {
		return fmt.Errorf("read a row of accounts: %w", err)
	}
	return nil
}

// get reads one row into row and says its version, 0 if there is none.
func (a *Accounts) get(ctx context.Context, k kv.Key, row any) (uint64, error) {
	rows, err := a.x.Get(ctx, k)
	if err != nil {
		return 0, fmt.Errorf("read accounts: %w", err)
	}
	if rows[0].V == 0 {
		return 0, nil
	}
	return rows[0].V, decode(rows[0].D, row)
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func when(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
