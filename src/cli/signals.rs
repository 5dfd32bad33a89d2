//! Ctrl-C, or what ends a process kindly → its exit code.

/// Waits for one of them. A shell counts from 128 what was ended by a signal.
pub async fn end() -> i32 {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let (Ok(mut interrupt), Ok(mut terminate)) = (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
        ) {
            return tokio::select! {
                _ = interrupt.recv() => 130,
                _ = terminate.recv() => 143,
            };
        }
    }
    match tokio::signal::ctrl_c().await {
        Ok(()) => 130,
        // It cannot be waited for, so that the system ends the process.
        Err(_) => std::future::pending().await,
    }
}
