package browse

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestSearch(t *testing.T) {
	s := newSite(t, nil)
	fjord := s.photo("photos/Norwegen/fjord.jpg", time.Date(2024, 7, 14, 12, 0, 0, 0, time.UTC))
	s.photo("photos/b.jpg", time.Date(2023, 7, 14, 12, 0, 0, 0, time.UTC))
	for q, want := range map[string]int{"norwegen": 1, "NORWEGEN 2024-07": 1, "2023": 1, "test camera": 2, "nowhere": 0, `"><script>`: 0} {
		page := s.get("/search?q="+url.QueryEscape(q), 200, asPage)
		if n := strings.Count(page, `<li class="tile"`); n != want {
			t.Errorf("%s: %d tiles, want %d", q, n, want)
		}
		if strings.Contains(page, "Nothing found") != (want == 0) && !strings.Contains(page, `class="empty" hidden`) || strings.Contains(page, "<script>") {
			t.Errorf("%s: %s", q, page)
		}
		if got := decode[apiItems](s, s.do(s.ana, "GET", "/api/search?q="+url.QueryEscape(q), nil), 200); len(got.Items) != want {
			t.Errorf("%s: %d items, want %d", q, len(got.Items), want)
		}
	}
	if got := decode[apiItems](s, s.do(s.bo, "GET", "/api/search?q=norwegen", nil), 200); len(got.Items) != 0 {
		t.Errorf("bo finds %s of ana's", fjord.Key)
	}
	for i := range pageItems + 1 {
		s.photo("photos/many/"+strings.Repeat("x", i+1)+".jpg", time.Date(2022, 7, 14, 12, 0, i, 0, time.UTC))
	}
	page := s.get("/search?q=many", 200, asPage)
	if n := strings.Count(page, `<li class="tile"`); n != pageItems || !strings.Contains(page, `href="/search?after=`) {
		t.Errorf("the first page has %d tiles", n)
	}
	s.get("/search?q="+strings.Repeat("x", 401), 400)
	s.get("/search?q=", 303)
}
