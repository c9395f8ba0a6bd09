//! The credential scope of a Signature Version 4 `Authorization` header. It names the caller's access key,
//! the Region and the service. Nothing in it is verified yet.

/// `Credential=ACCESS_KEY/DATE/REGION/SERVICE/aws4_request`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scope<'a> {
    pub(super) access_key: &'a str,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

// === impl Scope ===

impl<'a> Scope<'a> {
    /// Parses the scope in `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`.
    pub(super) fn read(header: &'a str) -> Option<Self> {
        let fields = header.strip_prefix("AWS4-HMAC-SHA256 ")?;
        let credential = fields.split(',').find_map(|field| field.trim().strip_prefix("Credential="))?;
        let mut parts = credential.rsplitn(5, '/');
        let terminator = parts.next()?;
        let (service, region, _date) = (parts.next()?, parts.next()?, parts.next()?);
        let access_key = parts.next()?;
        (terminator == "aws4_request" && !access_key.is_empty()).then_some(Self {
            access_key,
            region,
            service,
        })
    }
}
