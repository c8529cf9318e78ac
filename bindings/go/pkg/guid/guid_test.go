// SPDX-License-Identifier: MIT

package guid

import (
	"encoding/json"
	"testing"
)

const text = "999e53d4-3d5c-4c3e-8779-bed06ec056e1"

func TestText(t *testing.T) {
	g, err := FromString("999E53D4-3D5C-4c3e-8779-bed06ec056e1")
	if err != nil || g.String() != text {
		t.Fatal(g, err)
	}
	if g.Data1 != 0x999e53d4 || g.Data4[7] != 0xe1 {
		t.Fatal(g)
	}
	for _, bad := range []string{"", text[1:], text + "0", "{" + text + "}",
		"999e53d43-d5c-4c3e-8779-bed06ec056e1",
		"999e53d4-3d5c-4c3e-8779-bed06ec056eg"} {
		if _, err := FromString(bad); err == nil {
			t.Errorf("%q is a GUID", bad)
		}
	}
}

func TestArrays(t *testing.T) {
	g, _ := FromString(text)
	if a := g.ToArray(); a[0] != 0x99 || FromArray(a) != g {
		t.Error(a)
	}
	if a := g.ToWindowsArray(); a[0] != 0xd4 || FromWindowsArray(a) != g {
		t.Error(a)
	}
}

func TestVersions(t *testing.T) {
	g, err := NewV4()
	if err != nil || g.Data3>>12 != 4 || g.Data4[0]>>6 != 2 {
		t.Error(g, err)
	}
	// RFC 4122's namespace of DNS names, and a well-known result
	dns, _ := FromString("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
	g, err = NewV5(dns, []byte("www.example.org"))
	if err != nil || g.String() != "74738ff5-5367-5958-9aee-98fffdcd1876" {
		t.Error(g, err)
	}
}

func TestMarshalling(t *testing.T) {
	var g, h GUID
	if err := json.Unmarshal([]byte(`"`+text+`"`), &g); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(g)
	if err != nil || string(b) != `"`+text+`"` {
		t.Error(string(b), err)
	}
	if json.Unmarshal([]byte(`"x"`), &h) == nil || h != (GUID{}) {
		t.Error(h)
	}
}
