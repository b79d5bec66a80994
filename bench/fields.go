package main

// browserFields are 40 fields of about 1.8 KB, with Host: what a browser sends to a site behind a content network and some tracking, names as they
// are sent by one.
func browserFields() []string {
	return []string{
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
		"Accept-Encoding: gzip, deflate, br, zstd",
		"Accept-Language: en-GB,en;q=0.9,de;q=0.8",
		"Cache-Control: max-age=0",
		"Cookie: session=4f1c2b9a7d8e4c55b0a1f6c3d2e98b47; theme=dark; consent=1.0.2.20250612; cart=%7B%22items%22%3A3%2C%22total%22%3A4995%7D; " +
			"_ga=GA1.1.1283941273.1718200011; _gid=GA1.1.912773412.1718200011; ab=checkout-b; lang=en; tz=Europe%2FLondon",
		"Referer: https://shop.example.com/catalogue/outdoor/tents?sort=price&page=4",
		"Sec-Ch-Ua: \"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\"",
		"Sec-Ch-Ua-Mobile: ?0",
		"Sec-Ch-Ua-Platform: \"Linux\"",
		"Sec-Fetch-Dest: document",
		"Sec-Fetch-Mode: navigate",
		"Sec-Fetch-Site: same-origin",
		"Sec-Fetch-User: ?1",
		"Upgrade-Insecure-Requests: 1",
		"DNT: 1",
		"Sec-GPC: 1",
		"Priority: u=0, i",
		"If-None-Match: W/\"5d8c72a5edda8d6a-3239\"",
		"If-Modified-Since: Tue, 10 Jun 2025 08:11:42 GMT",
		"Origin: https://shop.example.com",
		"Authorization: Bearer eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiI0ODE1MTYyMyIsImV4cCI6MTc1MDAwMDAwMH0.c2lnbmF0dXJlLW9mLXRoaXMtdG9rZW4",
		"X-Requested-With: XMLHttpRequest",
		"X-CSRF-Token: 9c1e0b6f2a5d4e7b8c3f1a2d6e5b4c7f",
		"X-Client-Version: 2025.24.1",
		"X-Device-Id: 0197684c-5f0e-7d0b-9a51-d6f3c1b2a4e8",
		"X-App-Locale: en-GB",
		"X-App-Platform: web",
		"X-App-Build: 48151",
		"X-Experiment: search-rank=7; checkout=b; header=3",
		"X-Tenant: shop-eu-west",
		"X-Api-Key: pk_live_51HG2eKJ3nVtQxw0bLr",
		"X-Amz-Cf-Id: kM1mX6WGHX8zZ4s9Ct0B7h5XhQ4Yw2bJ9Q3e1b8dTt0Q5cN2r7VtWA",
		"X-Edge-Location: LHR62-C1",
		"X-Edge-Cache: miss",
		"Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"Tracestate: rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
		"Baggage: user=481516,region=eu-west-2,plan=plus",
		"Via: 2.0 edge-lhr-4 (edge)",
	}
}

// applicationFields are 17 fields that an application sends; with Server, Content-Type and Content-Length the answer has 20.
func applicationFields() []string {
	return []string{
		"Date: Tue, 10 Jun 2025 08:12:31 GMT",
		"Cache-Control: private, max-age=0, must-revalidate",
		"ETag: W/\"5d8c72a5edda8d6a-3240\"",
		"Last-Modified: Tue, 10 Jun 2025 08:12:30 GMT",
		"Vary: Accept-Encoding, Cookie, Accept-Language",
		"Set-Cookie: session=4f1c2b9a7d8e4c55b0a1f6c3d2e98b47; Path=/; Max-Age=86400; Secure; HttpOnly; SameSite=Lax",
		"Set-Cookie: seen=20250610; Path=/; Max-Age=31536000; Secure; SameSite=Lax",
		"Strict-Transport-Security: max-age=63072000; includeSubDomains",
		"Content-Security-Policy: default-src 'self'; img-src 'self' data: https://img.example.com; script-src 'self'; frame-ancestors 'none'",
		"X-Content-Type-Options: nosniff",
		"X-Frame-Options: DENY",
		"Referrer-Policy: strict-origin-when-cross-origin",
		"Permissions-Policy: geolocation=(), camera=(), microphone=()",
		"X-Request-Id: 0197684d-03a1-7c1e-8a0b-4d2f6e8c9b70",
		"X-Runtime: 0.012841",
		"Server-Timing: db;dur=4.1, app;dur=8.3",
		"Content-Language: en-GB",
	}
}
