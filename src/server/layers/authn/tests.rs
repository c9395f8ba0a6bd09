use super::*;

fn headers(values: &[&str]) -> HeaderMap {
    values.iter().map(|value| (AUTHORIZATION, value.parse().unwrap())).collect()
}

#[test]
fn the_bearer_scheme_ignores_case_and_others_are_rejected() {
    let unusable = Err(BearerError::Unusable("authorization is not 'Bearer TOKEN'"));
    for (value, token) in
        [("Bearer abc", Ok("abc")), ("bEaReR  abc ", Ok("abc")), ("Basic abc", unusable), ("abc", unusable)]
    {
        assert_eq!(bearer(&headers(&[value])), token, "{value:?}");
    }
    assert_eq!(bearer(&headers(&[])), Err(BearerError::Missing));
}

#[test]
fn two_authorization_entries_are_rejected() {
    let two = headers(&["Bearer good", "Bearer bad"]);
    assert_eq!(bearer(&two), Err(BearerError::Unusable("more than one authorization entry")));
}
