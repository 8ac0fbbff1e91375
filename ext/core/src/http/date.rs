//! The `Date` of a response (RFC 9110 §6.6.1), made once a second.

use std::{
    fmt,
    sync::{Mutex, MutexGuard},
    time::{SystemTime, UNIX_EPOCH},
};

use http::HeaderValue;

/// The header of the current second.
#[derive(Default)]
pub(crate) struct DateHeader(Mutex<Option<(u64, HeaderValue)>>);

impl DateHeader {
    fn cached(&self) -> MutexGuard<'_, Option<(u64, HeaderValue)>> {
        // No code that can panic runs under this lock.
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// As it is now.
    pub(crate) fn now(&self) -> HeaderValue {
        self.at(SystemTime::now())
    }

    fn at(&self, time: SystemTime) -> HeaderValue {
        let second = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if let Some((of, date)) = &*self.cached()
            && *of == second
        {
            return date.clone();
        }
        let date = format(second);
        *self.cached() = Some((second, date.clone()));
        date
    }
}

fn format(second: u64) -> HeaderValue {
    let time = i64::try_from(second).ok().and_then(|second| jiff::Timestamp::from_second(second).ok());
    let text = time.map(|time| time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
    text.and_then(|text| HeaderValue::try_from(text).ok()).unwrap_or_else(|| HeaderValue::from_static(""))
}

impl fmt::Debug for DateHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DateHeader").finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn is_the_time_as_http_has_it() {
        let date = DateHeader::default();
        let time = UNIX_EPOCH + Duration::from_secs(784_111_777);
        for _ in 0..2 {
            assert_eq!(date.at(time), "Sun, 06 Nov 1994 08:49:37 GMT");
        }
        assert_eq!(date.at(time + Duration::from_secs(1)), "Sun, 06 Nov 1994 08:49:38 GMT");
    }
}
