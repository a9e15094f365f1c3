//! Open files: each connection is one, and most systems start a process with room for a thousand.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Files that are open beside the edge's connections: the control plane's, pools, what runtimes need.
const OTHERS: u64 = 256;

/// Takes all the room that the system grants, and says so when it is not enough for as many
/// connections as the edge may have.
pub(super) fn allow_for(connections: usize) {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHERS);
    if let Some(granted) = getrlimit(Resource::Nofile).current
        && granted < wanted
    {
        tracing::warn!(
            granted,
            wanted,
            "too few open files are allowed for [limits] connections: raise 'ulimit -n' \
             (LimitNOFILE in systemd), or lower the setting"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_the_room_that_there_is_is_taken() {
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum.map_or(Some(1_000_000), |most| most.checked_sub(1));
        setrlimit(Resource::Nofile, limit).expect("lower is always allowed");
        allow_for(1);
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
