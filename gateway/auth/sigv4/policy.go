package sigv4

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

// A Policy says which forms its signer allows to be posted. (Amazon S3 API Reference,
// "Browser-Based Uploads Using POST", "POST Policy".)
type Policy struct {
	Expiration time.Time
	// MinSize and MaxSize bound the file, in bytes: content-length-range.
	MinSize, MaxSize int64

	conditions []policyCondition
}

type policyCondition struct {
	field  string // lower case, without "$"
	prefix bool   // starts-with, else eq
	value  string
}

// ParsePolicy reads the JSON of a policy, decoded from base64.
func ParsePolicy(document []byte) (*Policy, error) {
	bad := func(message string) (*Policy, error) {
		return nil, refuse("InvalidPolicyDocument", "The policy is not valid: "+message)
	}
	var in struct {
		Expiration string            `json:"expiration"`
		Conditions []json.RawMessage `json:"conditions"`
	}
	d := json.NewDecoder(bytes.NewReader(document))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil || d.More() {
		return bad("it must be JSON, with expiration and conditions.")
	}
	expiration, err := time.Parse(time.RFC3339, in.Expiration)
	if err != nil {
		return bad("expiration must be a time as 2006-01-02T15:04:05Z.")
	}
	if in.Conditions == nil {
		return bad("it has no conditions.")
	}
	p := &Policy{Expiration: expiration, MaxSize: math.MaxInt64}
	for _, raw := range in.Conditions {
		if raw[0] == '{' {
			var exact map[string]string
			if json.Unmarshal(raw, &exact) != nil || len(exact) == 0 {
				return bad("a condition in braces must be a field and its value.")
			}
			for field, value := range exact {
				p.conditions = append(p.conditions, policyCondition{strings.ToLower(field), false, value})
			}
			continue
		}
		var list []any
		n := json.NewDecoder(bytes.NewReader(raw))
		n.UseNumber()
		if n.Decode(&list) != nil || len(list) != 3 {
			return bad("a condition must be an object, or an array of three.")
		}
		operator, _ := list[0].(string)
		switch operator = strings.ToLower(operator); operator {
		case "eq", "starts-with":
			field, ok1 := list[1].(string)
			value, ok2 := list[2].(string)
			name, dollar := strings.CutPrefix(field, "$")
			if !ok1 || !ok2 || !dollar || name == "" {
				return bad(operator + " needs a field as \"$key\" and a value.")
			}
			p.conditions = append(p.conditions, policyCondition{strings.ToLower(name), operator == "starts-with", value})
		case "content-length-range":
			least, err1 := size(list[1])
			most, err2 := size(list[2])
			if err1 != nil || err2 != nil {
				return bad("content-length-range needs two sizes in bytes.")
			}
			// Each condition must hold, also if there are several of these.
			p.MinSize, p.MaxSize = max(p.MinSize, least), min(p.MaxSize, most)
		default:
			return bad("a condition's operator must be eq, starts-with or content-length-range.")
		}
	}
	return p, nil
}

// size takes a number, or as some clients have it, a string of digits.
func size(v any) (int64, error) {
	s, ok := v.(string)
	if n, isNumber := v.(json.Number); isNumber {
		s, ok = n.String(), true
	}
	if !ok {
		return 0, strconv.ErrSyntax
	}
	n, err := strconv.ParseUint(s, 10, 63)
	return int64(n), err
}

// uncovered are the fields of a form that need no condition.
func uncovered(field string) bool {
	switch field {
	case "policy", "x-amz-signature", "file":
		return true
	}
	return strings.HasPrefix(field, "x-ignore-")
}

// Check compares the fields of a form, by their lower-case names, with the conditions.
// Each condition must hold, and each field must have one, the bucket's too.
func (p *Policy) Check(fields map[string]string) error {
	covered := map[string]bool{}
	for _, c := range p.conditions {
		covered[c.field] = true
		if !c.holds(fields[c.field]) {
			return refuse("AccessDenied", "The form does not satisfy the policy's condition on "+strconv.Quote(clip(c.field))+".")
		}
	}
	for field := range fields {
		if !covered[field] && !uncovered(field) {
			return refuse("AccessDenied", "The policy has no condition on the form's field "+strconv.Quote(clip(field))+".")
		}
	}
	return nil
}

func (c *policyCondition) holds(value string) bool {
	if !c.prefix {
		return value == c.value
	}
	if c.field == "content-type" { // a list: all of it must match
		for one := range strings.SplitSeq(value, ",") {
			if !strings.HasPrefix(strings.TrimSpace(one), c.value) {
				return false
			}
		}
		return true
	}
	return strings.HasPrefix(value, c.value)
}

func clip(s string) string { return s[:min(len(s), 64)] }
