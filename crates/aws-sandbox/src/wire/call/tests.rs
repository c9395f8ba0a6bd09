use http::Request;

use super::*;

const SIGNED: &str = "AWS4-HMAC-SHA256 Credential=ASIAX/20300101/eu-west-1/logs/aws4_request, \
                      SignedHeaders=host, Signature=00";

fn read(request: http::request::Builder, body: &'static str) -> Result<Call, (Service, ApiError)> {
    let (parts, ()) = request.body(()).unwrap().into_parts();
    Call::read(&parts, &Bytes::from_static(body.as_bytes()))
}

#[test]
fn a_json_call_is_parsed_from_its_target_and_signature() {
    let request = Request::post("/")
        .header("x-amz-target", "Logs_20140328.AssociateKmsKey")
        .header("x-amz-security-token", "token")
        .header("authorization", SIGNED);
    let call = read(request, r#"{"kmsKeyId":"k"}"#).unwrap();
    assert_eq!(call.service, Service::Logs);
    assert_eq!(call.operation, "AssociateKmsKey");
    assert_eq!(call.region, "eu-west-1");
    assert_eq!(call.unverified_access_key, "ASIAX");
    assert_eq!(call.unverified_token.as_deref(), Some("token"));
    assert_eq!(call.param("kmsKeyId"), Some("k"));
}

#[test]
fn a_form_signed_for_sts_is_an_sts_call() {
    let signed = SIGNED.replace("/logs/", "/sts/");
    let request = Request::post("/").header("authorization", signed);
    let body = "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2FR";
    let call = read(request, body).unwrap();
    assert_eq!(call.service, Service::Sts);
    assert_eq!(call.operation, "AssumeRole");
    assert_eq!(call.param("RoleArn"), Some("arn:aws:iam::1:role/R"));
}

#[test]
fn an_invalid_or_unsigned_request_gets_the_error_code_of_aws() {
    let target = || Request::post("/").header("x-amz-target", "Logs_20140328.X");
    for (request, body, code) in [
        (target(), "{}", "MissingAuthenticationTokenException"),
        (target().header("authorization", "Bearer x"), "{}", "MissingAuthenticationTokenException"),
        (
            target().header("authorization", SIGNED.replace("/logs/", "/kms/")),
            "{}",
            "InvalidSignatureException",
        ),
        (target().header("authorization", SIGNED), "[]", "SerializationException"),
        (Request::post("/").header("x-amz-target", "S3.X"), "{}", "UnknownOperationException"),
        (Request::post("/"), "Version=1", "MissingAction"),
    ] {
        let (_, refusal) = read(request, body).unwrap_err();
        assert_eq!(refusal.code, code);
    }
}
