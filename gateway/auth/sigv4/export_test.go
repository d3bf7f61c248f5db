package sigv4

// CanonicalForTest is the canonical form of a raw query.
func CanonicalForTest(raw string) (string, error) {
	query, err := parseQuery(raw)
	if err != nil {
		return "", err
	}
	return canonicalQuery(query), nil
}
