//! `http`: what a file may get wrong of a request.

use super::{bare, check_all};

#[test]
fn requests_that_cannot_be_sent() {
    check_all(
        bare,
        3,
        &[
            ("http = \"https://a.test/\"", 8, &["table", "url"]),
            ("http = {}", 8, &["no `url`"]),
            ("http = { url = \"a.test\" }", 16, &["http:// or https://"]),
            ("http = { url = \"file:///etc/passwd\" }", 16, &["http:// or https://"]),
            ("http = { url = \"http://a\", method = \"get\" }", 37, &["did you mean \"GET\"?"]),
            ("http = { url = \"http://a\", headers = { \"a b\" = \"\" } }", 40, &["no header can have"]),
            ("http = { url = \"http://a\", headers = { Host = \"b\" } }", 40, &["sets it itself"]),
            ("http = { url = \"http://a\", expect = \"200\" }", 37, &["200 or [200, 204]"]),
            ("http = { url = \"http://a\", expect = 600 }", 37, &["100 to 599"]),
            ("http = { url = \"http://a\", expect = [] }", 37, &["empty list"]),
            ("http = { url = \"http://a\", redirects = -1 }", 40, &["0 to 20"]),
            ("http = { url = \"http://a\", timeout = \"1s\" }", 28, &["unknown key `timeout`"]),
            ("http = { url = \"http://a/{{ taget }}\" }", 29, &["did you mean `target`?"]),
            ("http = { url = \"http://a/{{ credential('a') }}\" }", 29, &["logs of servers", "Authorization"]),
            ("http = { url = \"http://a\", headers = { X = \"{{ credential.a }}\" } }", 48, &["is a function"]),
            ("http = { url = \"http://a\", body = \"{{ nominal.dat }}\" }", 39, &["did you mean `date`?"]),
        ],
    );
}
