package auth

import "net/http"

// MayCarrySecrets says whether passwords may pass on the request's connection: it is
// HTTPS, or does not leave this machine, or the operator allows it in the clear.
func (a *Auth) MayCarrySecrets(r *http.Request) bool { return a.mayCarrySecrets(r) }
