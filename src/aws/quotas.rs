//! Service Quotas: reads the quotas of `CloudWatch` Logs for an account and Region.

use std::{num::NonZeroU32, time::Instant};

use async_trait::async_trait;
use aws_sdk_servicequotas::types::{PeriodUnit, ServiceQuota};

use super::{client::Aws, operation::with_credentials};
use crate::{
    domain::{audit::AwsCallRecord, authorization::Access},
    ports::{
        aws::AwsResponse,
        limit::Operation,
        quotas::{Quotas, ServiceQuotas},
    },
};

/// The service code of `CloudWatch` Logs in Service Quotas.
const SERVICE: &str = "logs";
/// The largest page:
/// [`ListServiceQuotas`](https://docs.aws.amazon.com/servicequotas/2019-06-24/apireference/API_ListServiceQuotas.html).
const PAGE: i32 = 100;
/// The maximum number of pages that are read; `CloudWatch` Logs has about a hundred quotas.
const MAX_PAGES: usize = 10;
/// The text after the operation in the name of its quota. Quotas are found by name, because AWS publishes the
/// codes only of adjustable quotas.
const NAME_SUFFIX: &str = " throttle limit in transactions per second";

#[async_trait]
impl Quotas for Aws {
    async fn fetch(&self, access: &Access, deadline: Instant) -> AwsResponse<ServiceQuotas> {
        let client = &self.regional(access).quotas;
        let (mut merged, mut quotas, mut token) = (AwsCallRecord::default(), Vec::new(), None);
        for _ in 0..MAX_PAGES {
            let call =
                client.list_service_quotas().service_code(SERVICE).max_results(PAGE).set_next_token(token);
            let send = with_credentials!(aws_sdk_servicequotas, call);
            let AwsResponse { via, result } =
                self.limited_read(&self.budgets.quotas, access, deadline, send).await;
            let mut ids = std::mem::take(&mut merged.aws_request_ids);
            ids.extend(via.aws_request_ids);
            merged = AwsCallRecord { aws_request_ids: ids, ..via };
            match result {
                Err(error) => return AwsResponse { via: merged, result: Err(error) },
                Ok(page) => {
                    quotas.extend(page.quotas().iter().filter_map(per_second));
                    token = page.next_token().map(str::to_owned);
                }
            }
            if token.is_none() {
                break;
            }
        }
        AwsResponse { via: merged, result: Ok(quotas.into_iter().collect()) }
    }
}

/// The operation of a quota and its calls per second; `None` for any other quota, and for an unreliable
/// value.
fn per_second(quota: &ServiceQuota) -> Option<(Operation, NonZeroU32)> {
    let name = quota.quota_name()?.strip_suffix(NAME_SUFFIX)?;
    let operation = Operation::ALL.into_iter().find(|operation| operation.as_str() == name)?;
    let is_per_second = quota.period().is_none_or(|period| {
        period.period_unit() == Some(&PeriodUnit::Second) && period.period_value() == Some(1)
    });
    if quota.error_reason().is_some() || !is_per_second {
        return None;
    }
    let value = quota.value().filter(|value| value.is_finite() && *value >= 1.0)?;
    // A larger value is capped at `u16::MAX`, a rate that is never reached.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within both bounds")]
    let value = value.min(f64::from(u16::MAX)) as u32;
    Some((operation, NonZeroU32::new(value)?))
}

#[cfg(test)]
mod tests {
    use aws_sdk_servicequotas::types::{ErrorCode, ErrorReason, QuotaPeriod, builders::ServiceQuotaBuilder};

    use super::*;

    fn quota(name: &str, value: f64) -> ServiceQuotaBuilder {
        ServiceQuota::builder().quota_name(name).value(value)
    }

    fn parse_quota(quota: ServiceQuotaBuilder) -> Option<(Operation, u32)> {
        per_second(&quota.build()).map(|(operation, value)| (operation, value.get()))
    }

    #[test]
    fn a_quota_is_found_by_its_exact_name() {
        for operation in Operation::ALL {
            let name = format!("{}{NAME_SUFFIX}", operation.as_str());
            assert_eq!(parse_quota(quota(&name, 40.0)), Some((operation, 40)));
            assert_eq!(parse_quota(quota(&format!("{name} in a burst"), 40.0)), None);
            assert_eq!(parse_quota(quota(operation.as_str(), 40.0)), None);
        }
        assert_eq!(parse_quota(quota(&format!("DescribeLogStreams{NAME_SUFFIX}"), 40.0)), None);
    }

    #[test]
    fn an_unreliable_quota_is_ignored() {
        let describe = |value| quota(&format!("DescribeLogGroups{NAME_SUFFIX}"), value);
        for value in [0.0, 0.9, -5.0, f64::NAN, f64::INFINITY] {
            assert_eq!(parse_quota(describe(value)), None, "{value}");
        }
        let period = |unit, value| QuotaPeriod::builder().period_unit(unit).period_value(value).build();
        assert_eq!(parse_quota(describe(40.0).period(period(PeriodUnit::Minute, 1))), None);
        assert_eq!(parse_quota(describe(40.0).period(period(PeriodUnit::Second, 5))), None);
        assert_eq!(
            parse_quota(describe(40.0).period(period(PeriodUnit::Second, 1))),
            Some((Operation::DescribeLogGroups, 40))
        );
        let error = ErrorReason::builder().error_code(ErrorCode::DependencyServiceError).build();
        assert_eq!(parse_quota(describe(40.0).error_reason(error)), None);
        assert_eq!(parse_quota(describe(40.7)), Some((Operation::DescribeLogGroups, 40)));
    }
}
