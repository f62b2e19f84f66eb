// Prints, as JSON, which proxy Go's own code takes for each combination: what kubectl does. Made once with
// `go run . > ../proxies.json` in this folder; the vectors are kept, so that tests need no build.
package main

import (
	"encoding/json"
	"net/url"
	"os"
	"strings"

	"golang.org/x/net/http/httpproxy"
)

type vector struct {
	HTTPSProxy string `json:"https_proxy"`
	NoProxy    string `json:"no_proxy"`
	Target     string `json:"target"`
	// Scheme, host and port of the proxy; empty where there is none.
	Proxy string `json:"proxy"`
	Error bool   `json:"error,omitempty"`
}

var proxies = []string{
	"", "http://proxy.example:3128", "proxy.example:3128", "127.0.0.1:3128", "proxy.example", "https://proxy.example",
	"http://me:secret@proxy.example:3128", "http://proxy.example:3128/path?query", "HTTP://PROXY.EXAMPLE:3128", "[::1]:3128",
	"http://[2001:db8::1]:3128", "socks5://proxy.example:1080",
}

var exemptions = []string{
	"", "*", "corp.example", ".corp.example", "*.corp.example", "CORP.example", "corp.example:443", "corp.example:8443",
	".corp.example:8443", "curfew.corp.example", "example", "orp.example", " corp.example , other ", "corp.example.",
	"localhost,10.0.0.0/8", "10.0.0.0/8", "10.9.8.7", "10.9.8.7:8443", "10.9.8.7:443", "10.9.8.0/30", "10.9.8.0/33", "10.*",
	"2001:db8::/32", "2001:db8::7", "[2001:db8::7]", "[2001:db8::7]:8443", "::ffff:10.9.8.7", "other,*", "**", ":8443", ",,",
	"10.9.8.7/", "/8", "corp.example:", "0.0.0.0/0", "::/0", "http://corp.example", "corp.example other",
}

var targets = []string{
	"https://curfew.corp.example/", "https://corp.example/", "https://CURFEW.corp.EXAMPLE:8443/", "https://mycorp.example/",
	"https://10.9.8.7/", "https://10.9.8.7:8443/", "https://[2001:db8::7]/", "https://[2001:db8::7]:8443/",
	"https://other.invalid/",
}

func main() {
	all := []vector{}
	add := func(proxy, exempt string) {
		config := httpproxy.Config{HTTPSProxy: proxy, NoProxy: exempt}
		for _, target := range targets {
			parsed, err := url.Parse(target)
			if err != nil {
				panic(err)
			}
			found, err := config.ProxyFunc()(parsed)
			one := vector{HTTPSProxy: proxy, NoProxy: exempt, Target: target, Error: err != nil}
			if found != nil {
				one.Proxy = strings.ToLower(found.Scheme + "://" + found.Host)
			}
			all = append(all, one)
		}
	}
	for _, proxy := range proxies {
		add(proxy, "")
	}
	for _, exempt := range exemptions {
		add(proxies[1], exempt)
	}
	encoder := json.NewEncoder(os.Stdout)
	for _, one := range all {
		if err := encoder.Encode(one); err != nil {
			panic(err)
		}
	}
}
