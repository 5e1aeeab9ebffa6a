//! Lets aya read and write the map types.

#![expect(unsafe_code, reason = "aya::Pod is an unsafe trait, and aya offers no bytemuck bridge")]

use crate::{
    backend::Backend,
    client_hops::PlainSlot,
    guard::Guarded,
    macs::Slot,
    rate_limiter::RateLimiter,
    service::{Service, ServiceKey},
    service_table::Record,
    snat::Source,
    stats::{Count, Traffic},
    table::PlainBucket,
    template::Template,
    volley::Volley,
};

macro_rules! pod {
    ($($type:ty),+ $(,)?) => {
        $(
            const _: fn() = || {
                const fn is_plain_data<T: bytemuck::Pod>() {}
                is_plain_data::<$type>();
            };
            // SAFETY: it is `bytemuck::Pod`, checked above, which requires more.
            unsafe impl aya::Pod for $type {}
        )+
    };
}

pod!(
    RateLimiter,
    Backend,
    crate::capture::Record,
    Count,
    Guarded,
    Slot,
    PlainBucket,
    PlainSlot,
    Record,
    Service,
    ServiceKey,
    Source,
    crate::stats::TcpStats,
    crate::ended::Wanted,
    Template,
    Traffic,
    Volley,
);
