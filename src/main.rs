//! The command line: for now only the hidden sub-command that supervises one build.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match (arguments.next(), arguments.next()) {
        (Some(command), Some(folder)) if command == "build-shim" => {
            seakeeper::executor::local::shim_main(Path::new(&folder))
        }
        _ => ExitCode::from(2),
    }
}
