//! Where Node's parser is, for the differential target.

fn main() {
    println!("cargo::rerun-if-env-changed=LLHTTP");
    if let Ok(directory) = std::env::var("LLHTTP") {
        println!("cargo::rustc-link-search=native={directory}");
    }
}
