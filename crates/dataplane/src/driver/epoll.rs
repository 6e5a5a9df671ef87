//! The readiness driver.
pub type Epoll = super::uring::Uring;
