//! What the HTTP APIs share: problem details, limits, serving and draining
