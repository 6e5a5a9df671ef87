//! A leased backend that is closed while another is opened for its client in its place.

use crate::*;
use forebay_core::snapshot::PoolLimits;
use forebay_core::{CloseReason, Instant};
use std::sync::Arc;
use std::time::Duration;

const TARGET: TargetId = TargetId(1);

/// A worker's pools with a backend that client 1 has.
fn leased(limits: PoolLimits) -> (Pools, PoolId, BackendKey) {
    let (mut pools, now) = (Pools::new(0), Instant::ZERO);
    pools.set_target(now, TARGET, limits, Budget::new());
    pools.on_limits(now, TARGET, 1);
    let key = PoolKey {
        target: TARGET,
        user: Arc::from("app"),
        database: Arc::from("shop"),
        handshake: 0,
    };
    let pool = pools.pool(now, &key).expect("its target is known");
    pools
        .request(now, pool, ClientKey(1), UNLABELLED)
        .expect("it is there");
    assert!(matches!(order(&mut pools), Some(Order::Dial { .. })));
    pools.on_dialed(now, pool, BackendKey(1), UNLABELLED, 0);
    assert!(matches!(order(&mut pools), Some(Order::Lease { .. })));
    (pools, pool, BackendKey(1))
}

/// The next order; other workers are none of our business here.
fn order(pools: &mut Pools) -> Option<Order> {
    loop {
        match pools.next_order() {
            Some(Order::WakeOthers) => {}
            order => return order,
        }
    }
}

#[test]
fn the_place_and_the_lease_are_the_new_ones() {
    let (mut pools, pool, old) = leased(PoolLimits::default());
    let now = Instant::from_nanos(5);
    pools.on_replaced(now, old, BackendKey(2), 0);
    assert_eq!(order(&mut pools), None);
    assert_eq!(pools.stats(pool).expect("it is there").leased, 1);
    // The database takes one: nobody else may open another meanwhile.
    pools
        .request(now, pool, ClientKey(2), UNLABELLED)
        .expect("it is there");
    assert!(!matches!(order(&mut pools), Some(Order::Dial { .. })));
    pools.on_released(now, BackendKey(2), 7);
    let lease = Order::Lease {
        client: ClientKey(2),
        backend: BackendKey(2),
        waited_since: now,
    };
    assert_eq!(order(&mut pools), Some(lease));
}

#[test]
fn the_age_of_the_new_one_is_its_own() {
    let limits = PoolLimits {
        lifetime_max: Duration::from_secs(10),
        ..PoolLimits::default()
    };
    let (mut pools, _, old) = leased(limits);
    let later = Instant::ZERO + Duration::from_secs(9);
    pools.on_replaced(later, old, BackendKey(2), 0);
    pools.on_released(later, BackendKey(2), UNLABELLED);
    assert_eq!(order(&mut pools), None);
    pools.on_time(later + Duration::from_secs(2));
    assert_eq!(order(&mut pools), None);
    pools.on_time(later + Duration::from_secs(11));
    let close = Order::Close {
        backend: BackendKey(2),
        reason: CloseReason::MaxAge,
    };
    assert_eq!(order(&mut pools), Some(close));
}

#[test]
fn a_new_one_that_comes_to_nothing_gives_its_place_back() {
    let (mut pools, pool, old) = leased(PoolLimits::default());
    let now = Instant::from_nanos(5);
    pools.on_replaced(now, old, BackendKey(2), 0);
    pools.on_closed(now, BackendKey(2));
    assert_eq!(pools.stats(pool).expect("it is there").leased, 0);
    pools
        .request(now, pool, ClientKey(1), UNLABELLED)
        .expect("it is there");
    assert!(matches!(order(&mut pools), Some(Order::Dial { .. })));
}
