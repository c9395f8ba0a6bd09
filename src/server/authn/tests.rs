use super::*;

fn headers(values: &[&str]) -> HeaderMap {
    values.iter().map(|value| (AUTHORIZATION, value.parse().unwrap())).collect()
}

#[test]
fn bearer_ignores_case_and_refuses_other_schemes() {
    let unusable = Err(BearerError::Unusable("authorization is not 'Bearer TOKEN'"));
    for (value, token) in
        [("Bearer abc", Ok("abc")), ("bEaReR  abc ", Ok("abc")), ("Basic abc", unusable), ("abc", unusable)]
    {
        assert_eq!(bearer(&headers(&[value])), token, "{value:?}");
    }
    assert_eq!(bearer(&headers(&[])), Err(BearerError::Missing));
}

#[test]
fn of_two_authorization_entries_neither_is_chosen() {
    let two = headers(&["Bearer good", "Bearer bad"]);
    assert_eq!(bearer(&two), Err(BearerError::Unusable("more than one authorization entry")));
}
