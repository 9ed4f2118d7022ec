//! The command line of people and of stewards where the two meet: what one writes, the other reads.

use cloister::draft::dictionary_from_toml;
use cloister_net::{Clock, ConnectError, Role, SystemClock};
use cloister_node::describe::describe;
use cloister_tests::fixtures::name;
use cloister_tests::hub::{Hub, soon, until};
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// Runs `cloister` in this process, on a thread of its own: it has a runtime of its own too.
async fn cloister(home: &Path, args: &[&str]) -> bool {
    let passphrase = home.with_extension("passphrase");
    std::fs::write(&passphrase, "correct horse battery\n").unwrap();
    let mut line: Vec<OsString> = vec!["cloister".into(), "--home".into(), home.into()];
    line.extend(["--passphrase-file".into(), passphrase.into()]);
    line.extend(args.iter().map(OsString::from));
    let run = tokio::task::spawn_blocking(move || cloister::main(line));
    let code = soon(run).await.unwrap();
    format!("{code:?}") == format!("{:?}", ExitCode::SUCCESS)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_person_joins_again_with_the_same_key() {
    // The command line goes by the machine's own clock.
    let hub = Hub::start_at(SystemClock.now_unix_s().try_into().unwrap()).await;
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("ada");
    let token = |hub: &Hub| {
        let until_s = hub.clock.now_unix_s() + 3_600;
        hub.token("ada", Role::Person, until_s).to_string()
    };
    let (address, enrol) = (hub.address().to_string(), hub.enrol_address().to_string());
    let enroll = async |token: &str, more: &[&str]| {
        let line = ["enroll", "--name", "ada", "--token", token, "--coordinator", &address];
        let line = [&line[..], &["--enrol-addr", &enrol], more].concat();
        cloister(&home, &line).await
    };
    assert!(cloister(&home, &["key", "new"]).await);
    let key = std::fs::read(home.join("key.json")).unwrap();
    assert!(enroll(&token(&hub), &[]).await);
    let identity = || cloister::home::Home::new(&home).identity().unwrap();
    let first = identity();
    hub.store().revoke(&name("ada")).unwrap();
    until(async || matches!(hub.dial(&first).await, Err(ConnectError::Revoked))).await;

    let second = token(&hub);
    assert!(!enroll(&second, &[]).await, "never over an old certificate unasked");
    assert!(enroll(&second, &["--again"]).await, "and the token was not used up by the refusal");
    hub.dial(&identity()).await.unwrap();
    assert_eq!(std::fs::read(home.join("key.json")).unwrap(), key, "the signing key stays");
    // A token that does not hold leaves everything as it was.
    assert!(!enroll(&second, &["--again"]).await);
    hub.dial(&identity()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_is_named_by_host_and_port_and_looked_up_each_time() {
    // The command line goes by the machine's own clock.
    let hub = Hub::start_at(SystemClock.now_unix_s().try_into().unwrap()).await;
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("ada");
    let token = hub.token("ada", Role::Person, hub.clock.now_unix_s() + 3_600).to_string();
    // 127.0.0.1 to a resolver, and no address as one is parsed.
    let [address, enrol] =
        [hub.address(), hub.enrol_address()].map(|at| format!("127.1:{}", at.port()));
    let enroll = async |coordinator: &str, enrol: &str| {
        let line = ["enroll", "--name", "ada", "--token", &token, "--coordinator", coordinator];
        cloister(&home, &[&line[..], &["--enrol-addr", enrol]].concat()).await
    };
    for (coordinator, at) in [("nowhere", enrol.as_str()), (address.as_str(), "127.1")] {
        assert!(!enroll(coordinator, at).await, "no port, and the token is not used up");
    }
    assert!(enroll(&address, &enrol).await);
    let profile = cloister::home::Home::new(&home).profile().unwrap();
    assert_eq!(profile.coordinator, address);
    assert!(cloister(&home, &["status"]).await);
}

#[test]
fn an_operator_who_names_no_coordinators_folder_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let none = folder.path().join("none");
    let coordinator = |folder: &Path, args: &[&str]| {
        let mut line: Vec<OsString> =
            vec!["cloister-coordinator".into(), "--folder".into(), folder.into()];
        line.extend(args.iter().map(OsString::from));
        format!("{:?}", cloister_coordinator::main(line)) == format!("{:?}", ExitCode::SUCCESS)
    };
    let asked: [&[&str]; 4] = [&["status"], &["revoke", "ada"], &["invite", "ada"], &["run"]];
    for args in asked {
        for at in [&none, folder.path()] {
            assert!(!coordinator(at, args), "{args:?}");
        }
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    assert!(coordinator(&none, &["init"]));
    assert!(coordinator(&none, &["status"]));
}

#[test]
fn what_describe_drafts_an_agreement_takes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trips.csv");
    let rows: String = (0..400)
        .map(|i| {
            format!(
                "r{},2024-01-{:02} 08:00:00,{},{}.5\n",
                i / 4,
                1 + i % 28,
                ["Ash", "Br\"am"][i % 2],
                i % 9
            )
        })
        .collect();
    std::fs::write(&path, format!("rider,day,town,fare\n{rows}")).unwrap();
    let draft = describe(&[path]).unwrap();
    let dictionary = dictionary_from_toml(&draft.dictionary).unwrap();
    let dataset = &dictionary.datasets[0];
    assert_eq!(dataset.unit_column.as_str(), "rider");
    assert_eq!(dataset.column("town").unwrap().domain.as_ref().unwrap().len(), 2);
    assert!(dataset.column("fare").unwrap().bounds.is_some());
}
