package main

import (
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/cmd/shoebox/internal/conf"
	"github.com/shoebox-photos/shoebox/gateway/auth"
)

// defineProvider defines the settings of one identity provider. The configuration has one;
// each file that oidc-more names has these settings, and no others, for another.
func (c *config) defineProvider(s *settings) {
	s.str(&c.oidcIssuer, "oidc-issuer", "", "`URL` of the provider, as https://accounts.google.com")
	s.str(&c.oidcName, "oidc-name", "", "`name` of the provider on the login page; empty means its host name")
	s.str(&c.oidcClientID, "oidc-client-id", "", "`ID` the provider gave this program; its redirect URL is public-url + /login/oidc/callback, for back-channel logout /login/oidc/backchannel")
	s.secret(&c.oidcClientSecret, "oidc-client-secret", "`secret` the provider gave with it")
	c.oidcScopes = conf.List{"profile", "email"}
	s.value(&c.oidcScopes, "oidc-scopes", "`scopes` to ask for beside openid")
	s.yes(&c.oidcNoOffline, "oidc-no-offline", "do not ask the provider later whether accounts still stand: then only oidc-grace ends app passwords")
	c.oidcGroupsClaim = "groups"
	s.str(&c.oidcGroupsClaim, "oidc-groups-claim", "groups", "`claim` that lists a person's groups")
	s.value(&c.allowEmail, "allow-email", "verified e-mail `addresses` that may sign in")
	s.value(&c.allowDomain, "allow-domain", "`domains` of verified e-mail addresses that may sign in")
	s.value(&c.allowGroup, "allow-group", "`groups` whose members may sign in")
}

// checkProvider reports what is wrong with them.
func (c *config) checkProvider(fault func(string, ...any)) {
	checkURL(c.oidcIssuer, "oidc-issuer", false, fault)
	if c.oidcIssuer == "" {
		if c.oidcClientID != "" || c.oidcClientSecret != "" || len(c.allowEmail)+len(c.allowDomain)+len(c.allowGroup) > 0 {
			fault("oidc-client-id, oidc-client-secret and the allow-… rules need oidc-issuer")
		}
		return
	}
	if c.oidcClientID == "" {
		fault("oidc-issuer needs oidc-client-id")
	}
}

func (c *config) provider(id string) auth.OIDCConfig {
	return auth.OIDCConfig{
		ID: id, Issuer: c.oidcIssuer, Name: c.oidcName, ClientID: c.oidcClientID, ClientSecret: account.Secret(c.oidcClientSecret.Reveal()),
		Scopes: c.oidcScopes, NoOffline: c.oidcNoOffline,
		AllowEmails: c.allowEmail, AllowDomains: c.allowDomain, AllowGroups: c.allowGroup, GroupsClaim: c.oidcGroupsClaim,
	}
}

// checkProviders checks and collects all providers: that of the settings, and that of
// each file of oidc-more.
func (c *config) checkProviders(fault func(string, ...any)) {
	c.checkProvider(fault)
	if c.oidcIssuer != "" {
		c.providers = append(c.providers, c.provider(""))
	}
	for _, path := range c.oidcMore {
		more := new(config)
		s := &settings{FlagSet: flag.NewFlagSet("provider", flag.ContinueOnError)}
		s.group("", "", func() {
			s.str(&more.configFile, conf.FileSetting, "", "")
			more.defineProvider(s)
		})
		_, err := conf.Parse(s.FlagSet, nil, conf.Source{Args: []string{"-" + conf.FileSetting, path}})
		if err != nil {
			fault("oidc-more: %w", err)
			continue
		}
		inFile := func(format string, args ...any) { fault("%s: %w", path, fmt.Errorf(format, args...)) }
		if more.oidcIssuer == "" {
			inFile("%w", errors.New("oidc-issuer is missing"))
		}
		more.checkProvider(inFile)
		id := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
		if id == "" || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			inFile("%w", errors.New("the file's name is part of the redirect URL, public-url + /login/oidc/NAME/callback, so it is a-z, 0-9 and '-' before its extension"))
		}
		c.providers = append(c.providers, more.provider(id))
	}
	if len(c.providers) > 0 && c.publicURL == "" {
		fault("oidc-issuer needs public-url, to which the provider sends people back")
	}
	if len(c.providers) == 0 && c.loginLinks == "off" {
		fault("login-links is off and there is no oidc-issuer: nobody could sign in")
	}
}

// issuers names them all.
func (c *config) issuers() string {
	var list []string
	for _, p := range c.providers {
		list = append(list, p.Issuer)
	}
	return strings.Join(list, ", ")
}

// grace is oidcGrace as package account has it.
func (c *config) grace() time.Duration {
	if c.oidcGrace == 0 {
		return -1
	}
	return c.oidcGrace
}

// setupLife is how long the owner's setup link is valid.
const setupLife = 24 * time.Hour

// startPath is where the page sends people to the first provider.
func (c *config) startPath() string {
	if id := c.providers[0].ID; id != "" {
		return "/login/oidc/" + id
	}
	return "/login/oidc"
}
