// Package console walks through the console with a real browser, on a real database: it logs in, pauses and resumes a
// campaign, asks why a message waits, settles a doubt, and looks at every page in both colour schemes and at the width of
// a desk and of a phone. Nothing may be said on the browser's console, no content policy broken, nothing be wider than the
// screen.
//
// It needs node, npm and Chromium. Where one is not there it is skipped, and says so; with BROWSER_TEST=required it fails
// instead. CONSOLE_SHOTS names a folder that keeps the pictures.
package console
