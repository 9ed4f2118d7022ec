//! Enrolment and agreement: who takes part gets keys, certificates and a signed agreement.

use crate::book::Book;
use crate::cast::{Cast, Data, Partner, source_toml, table_path};
use crate::stage::{Stage, StageError};
use crate::story::TourError;
use cloister_examples::scenario::{ScenarioSize, write_partner};
use serde_json::Value;
use std::fmt::Write;

/// People of the tour: name, organisation.
pub const RESEARCHER: (&str, &str) = ("ada", "Institute of Migration");
/// Three reviewers of two organisations.
pub const REVIEWERS: [(&str, &str); 3] = [
    ("grace", "University Ethics Board"),
    ("alan", "University Ethics Board"),
    ("edsger", "Citizens' Panel"),
];
/// From charge to answer at every node of the tour, in milliseconds: a start, and so much a person.
/// Both runs of an unoptimised build must fit, with four nodes and the tour itself on two cores.
const SLOT_START_MS: u64 = 6_000;
/// See [`SLOT_START_MS`].
const SLOT_PER_PERSON_US: u64 = 300;
/// Persons of the largest real partner, rounded up.
const REAL_PEOPLE: u32 = 6_000;
/// Longest a run may take beside its slot, in seconds.
const RUN_TIME_S: u64 = 60;

/// Where the coordinator listens.
pub struct Coordinator {
    /// For nodes and persons.
    pub listen: String,
    /// For enrolment.
    pub enrol: String,
}

/// A partner's public keys.
pub struct PartnerKeys {
    steward: String,
    node: String,
}

/// Makes the data of every partner, or finds it.
pub fn data(cast: &Cast, stage: &Stage, book: &mut Book) -> Result<(), TourError> {
    let Data::MadeUp { people, seed } = cast.data else {
        for partner in &cast.partners {
            let file = table_path(partner, stage.root());
            if !file.exists() {
                return Err(TourError::NoData(file));
            }
        }
        return Ok(());
    };
    let size = ScenarioSize { people, seed };
    let root = stage.root();
    let rows = book.step("every partner's tables are made", || {
        std::thread::scope(|scope| {
            let making: Vec<_> = cast
                .partners
                .iter()
                .filter_map(|partner| partner.kind.map(|kind| (partner.name, kind)))
                .map(|(name, kind)| {
                    let folder = root.join(name).join("data");
                    let size = &size;
                    (name, scope.spawn(move || write_partner(kind, size, &folder)))
                })
                .collect();
            making
                .into_iter()
                .map(|(name, made)| match made.join() {
                    Ok(files) => Ok((name, files?.rows)),
                    Err(_) => {
                        Err(TourError::Unexpected(format!("making the tables of {name} panicked")))
                    }
                })
                .collect::<Result<Vec<_>, TourError>>()
        })
    })?;
    for (partner, rows) in rows {
        book.say(&format!("    {partner:<14} {rows} rows"));
    }
    Ok(())
}

/// Makes and starts the coordinator.
pub fn coordinator(stage: &mut Stage) -> Result<Coordinator, StageError> {
    stage.run("coordinator", &["--folder", "coordinator", "init", "--name", "coordinator"])?;
    let any = "127.0.0.1:0";
    let args = [
        "--folder",
        "coordinator",
        "run",
        "--listen",
        any,
        "--enrol-listen",
        any,
        "--exit-with-stdin",
    ];
    let ready = stage.start("coordinator", "coordinator", &args)?;
    Ok(Coordinator { listen: text(&ready, "listen"), enrol: text(&ready, "enrol") })
}

/// One partner joins: keys made at home, a one-time token, a certificate, its tables described.
pub fn partner(
    cast: &Cast,
    stage: &Stage,
    at: &Coordinator,
    partner: &Partner,
) -> Result<PartnerKeys, StageError> {
    let name = partner.name;
    let made = stage.run_json("node", &["init", "--folder", name, "--name", name, "--json"])?;
    let slot_ms = slot_ms(cast);
    let config = format!("{name}/node.toml");
    let data = stage.root().join(name).join("data");
    let mut toml = format!(
        "name = \"{name}\"\nstate = \"state\"\nagreement = \"../agreement.json\"\n\
         release_slot_ms = {slot_ms}\n\n\
         [lifetime_caps]\nepsilon = \"2\"\nrho = \"1\"\ndelta = \"0.000001\"\n"
    );
    if !cloister_node::start::kernel_isolates_modules() {
        toml += "\n[sandbox]\nrequire_kernel_isolation = false\n";
    }
    toml += &source_toml(cast, partner, &data);
    stage.write(&config, &toml)?;
    let token = invite(stage, name, "node")?;
    stage.run(
        "node",
        &[
            "--config",
            &config,
            "enroll",
            "--token",
            &token,
            "--coordinator",
            &at.listen,
            "--enrol-addr",
            &at.enrol,
        ],
    )?;
    Ok(PartnerKeys { steward: text(&made, "steward_key"), node: text(&made, "node_key") })
}

/// One person joins; her public key.
pub fn person(stage: &Stage, at: &Coordinator, name: &str) -> Result<String, StageError> {
    let home = format!("people/{name}");
    let made = stage.run_json("cloister", &["--home", &home, "key", "new", "--json"])?;
    let token = invite(stage, name, "person")?;
    stage.run(
        "cloister",
        &[
            "--home",
            &home,
            "enroll",
            "--name",
            name,
            "--token",
            &token,
            "--coordinator",
            &at.listen,
            "--enrol-addr",
            &at.enrol,
        ],
    )?;
    Ok(text(&made, "public_key"))
}

/// Drafts the agreement, has every steward sign it, publishes it.
pub fn agreement(
    cast: &Cast,
    stage: &Stage,
    partners: &[PartnerKeys],
    people: &[String],
) -> Result<(), StageError> {
    stage.write("agreement.toml", &draft(cast, partners, people))?;
    stage.run("cloister", &["agreement", "draft", "agreement.toml", "--out", "agreement.json"])?;
    for partner in &cast.partners {
        let key = format!("{}/state/steward.key.json", partner.name);
        stage.run("cloister", &["agreement", "sign", "agreement.json", "--key", &key])?;
    }
    let home = format!("people/{}", RESEARCHER.0);
    stage.run("cloister", &["--home", &home, "agreement", "publish", "agreement.json"])?;
    Ok(())
}

/// Starts a partner's node.
pub fn start_node(stage: &mut Stage, name: &str) -> Result<(), StageError> {
    let config = format!("{name}/node.toml");
    stage.start(name, "node", &["--config", &config, "run", "--exit-with-stdin"])?;
    Ok(())
}

fn slot_ms(cast: &Cast) -> u64 {
    let people = match cast.data {
        Data::MadeUp { people, .. } => people,
        Data::Real => REAL_PEOPLE,
    };
    SLOT_START_MS + u64::from(people) * SLOT_PER_PERSON_US / 1_000
}

fn invite(stage: &Stage, name: &str, role: &str) -> Result<String, StageError> {
    let args = ["--folder", "coordinator", "invite", name, "--role", role, "--json"];
    Ok(text(&stage.run_json("coordinator", &args)?, "token"))
}

fn draft(cast: &Cast, partners: &[PartnerKeys], people: &[String]) -> String {
    let year_s = 365 * 86_400;
    let now_s = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(0));
    let mut text = format!(
        "name = \"four-partners\"\n\
         charter = \"Answer questions of public interest together; no partner's records leave its house.\"\n\
         purposes = [\"https://w3id.org/dpv#ScientificResearch\"]\n\
         from = \"{}\"\nuntil = \"{}\"\nepoch_days = 30\n\
         coordinator = \"coordinator\"\nrun_time_max_s = {}\n\
         quorum = {{ approvals = 2, organisations = 2 }}\n",
        cloister::words::date(now_s - 86_400),
        cloister::words::date(now_s + year_s),
        RUN_TIME_S + slot_ms(cast) / 1_000
    );
    for (partner, keys) in cast.partners.iter().zip(partners) {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n[[parties]]\npartner = \"{name}\"\norganisation = \"{}\"\nsteward_key = \"{}\"\nnode_key = \"{}\"\n\
             unit_namespace = \"{name}-people\"\ncaps = {{ rho = \"0.5\" }}\n",
            partner.organisation,
            keys.steward,
            keys.node,
            name = partner.name
        );
    }
    let mut keys = people.iter();
    let mut person = |table: &str, (name, organisation): (&str, &str), caps: &str| {
        let key = keys.next().map(String::as_str).unwrap_or_default();
        let _ = write!(
            text,
            "\n[[{table}]]\nname = \"{name}\"\norganisation = \"{organisation}\"\nkey = \"{key}\"\n{caps}"
        );
    };
    person("researchers", RESEARCHER, "caps = { rho = \"0.5\" }\n");
    for reviewer in REVIEWERS {
        person("reviewers", reviewer, "");
    }
    text + "\n" + &cast.dictionary
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}
