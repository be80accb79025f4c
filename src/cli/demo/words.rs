//! What the sample's people, goods and notes are called, in several scripts.

/// A country: its code, how many of a thousand customers live there, and names as (as written, as
/// in an e-mail address).
pub(crate) struct Country {
    /// ISO 3166 code.
    pub(crate) code: &'static str,
    /// Share of customers.
    pub(crate) weight: u64,
    /// Whether the family name comes first.
    pub(crate) family_first: bool,
    /// Given names.
    pub(crate) given: &'static [(&'static str, &'static str)],
    /// Family names.
    pub(crate) family: &'static [(&'static str, &'static str)],
}

/// Where customers live.
pub(crate) const COUNTRIES: [Country; 9] = [
    Country {
        code: "AU",
        weight: 240,
        family_first: false,
        given: &[("Olivia", "olivia"), ("Jack", "jack"), ("Mia", "mia"), ("Noah", "noah")],
        family: &[("Smith", "smith"), ("O’Brien", "obrien"), ("Nguyễn", "nguyen"), ("Lee", "lee")],
    },
    Country {
        code: "US",
        weight: 200,
        family_first: false,
        given: &[("Emma", "emma"), ("Liam", "liam"), ("José", "jose"), ("Zoë", "zoe")],
        family: &[
            ("Johnson", "johnson"),
            ("Núñez", "nunez"),
            ("Miller", "miller"),
            ("Diaz", "diaz"),
        ],
    },
    Country {
        code: "DE",
        weight: 150,
        family_first: false,
        given: &[("Jürgen", "juergen"), ("Anja", "anja"), ("Sören", "soeren"), ("Käthe", "kaethe")],
        family: &[
            ("Müller", "mueller"),
            ("Weiß", "weiss"),
            ("Schäfer", "schaefer"),
            ("Koch", "koch"),
        ],
    },
    Country {
        code: "FR",
        weight: 110,
        family_first: false,
        given: &[("Zoé", "zoe"), ("Loïc", "loic"), ("Hélène", "helene"), ("François", "francois")],
        family: &[
            ("Lefèvre", "lefevre"),
            ("Garçon", "garcon"),
            ("Noël", "noel"),
            ("Petit", "petit"),
        ],
    },
    Country {
        code: "JP",
        weight: 100,
        family_first: true,
        given: &[("結衣", "yui"), ("蓮", "ren"), ("さくら", "sakura"), ("大翔", "hiroto")],
        family: &[
            ("佐藤", "sato"),
            ("鈴木", "suzuki"),
            ("高橋", "takahashi"),
            ("渡辺", "watanabe"),
        ],
    },
    Country {
        code: "GR",
        weight: 60,
        family_first: false,
        given: &[("Ζωή", "zoi"), ("Γιώργος", "giorgos"), ("Ελένη", "eleni"), ("Νίκος", "nikos")],
        family: &[
            ("Παπαδοπούλου", "papadopoulou"),
            ("Νικολαΐδης", "nikolaidis"),
            ("Οικονόμου", "oikonomou"),
        ],
    },
    Country {
        code: "BR",
        weight: 60,
        family_first: false,
        given: &[("João", "joao"), ("Conceição", "conceicao"), ("Antônio", "antonio")],
        family: &[("Araújo", "araujo"), ("Gonçalves", "goncalves"), ("Simões", "simoes")],
    },
    Country {
        code: "SE",
        weight: 40,
        family_first: false,
        given: &[("Åsa", "asa"), ("Björn", "bjorn"), ("Märta", "marta")],
        family: &[("Sjöberg", "sjoberg"), ("Åkesson", "akesson"), ("Lindström", "lindstrom")],
    },
    Country {
        code: "PL",
        weight: 40,
        family_first: false,
        given: &[("Łukasz", "lukasz"), ("Zofia", "zofia"), ("Małgorzata", "malgorzata")],
        family: &[("Wójcik", "wojcik"), ("Żak", "zak"), ("Jabłońska", "jablonska")],
    },
];

/// A kind of goods.
pub(crate) struct Category {
    /// Its name.
    pub(crate) name: &'static str,
    /// How its article numbers begin.
    pub(crate) sku: &'static str,
    /// Lowest and highest price in cents.
    pub(crate) price: (u64, u64),
    /// Lowest and highest weight in grams; `None` for what has none.
    pub(crate) grams: Option<(u64, u64)>,
    /// How often it is bought.
    pub(crate) weight: u64,
    /// What there is.
    pub(crate) nouns: &'static [&'static str],
}

/// What the shop sells.
pub(crate) const CATEGORIES: [Category; 7] = [
    Category {
        name: "kitchen",
        sku: "KIT",
        price: (450, 14_900),
        grams: Some((120, 4_200)),
        weight: 26,
        nouns: &["Kettle", "Café press", "Rührschüssel", "Teapot 急須", "Crêpe pan", "Knife"],
    },
    Category {
        name: "garden",
        sku: "GAR",
        price: (690, 24_900),
        grams: Some((200, 18_000)),
        weight: 15,
        nouns: &["Trowel", "Hose", "Olive pot Ελιά", "Lantern", "Watering can"],
    },
    Category {
        name: "books",
        sku: "BOO",
        price: (890, 6_900),
        grams: Some((180, 1_400)),
        weight: 21,
        nouns: &["Cookbook", "Atlas", "Roman «L’été»", "俳句 anthology", "Field guide"],
    },
    Category {
        name: "toys",
        sku: "TOY",
        price: (390, 8_900),
        grams: Some((60, 2_500)),
        weight: 14,
        nouns: &["Puzzle", "Kite 🪁", "Building blocks", "Spinning top 独楽", "Plush bear"],
    },
    Category {
        name: "textiles",
        sku: "TEX",
        price: (790, 12_900),
        grams: Some((90, 3_200)),
        weight: 13,
        nouns: &["Blanket", "Tenugui 手拭い", "Linen towel", "Cushion", "Apron"],
    },
    Category {
        name: "lighting",
        sku: "LIG",
        price: (1_290, 39_900),
        grams: Some((150, 6_500)),
        weight: 8,
        nouns: &["Desk lamp", "Lampe à poser", "Fairy lights ✨", "Reading light"],
    },
    Category {
        name: "vouchers",
        sku: "VOU",
        price: (1_000, 20_000),
        grams: None,
        weight: 3,
        nouns: &["Gift card", "Workshop ticket"],
    },
];

/// What goods are like.
pub(crate) const ADJECTIVES: [&str; 12] = [
    "Small", "Large", "Blue", "Crème", "Classic", "Everyday", "Grün", "Folding", "Handmade",
    "Recycled", "Nordic", "Travel",
];

/// What customers write.
pub(crate) const NOTES: [&str; 12] = [
    "Please leave at the back door",
    "Gift wrap, please 🎁",
    "Bitte beim Nachbarn abgeben (Grünwald, 2. Stock)",
    "Sonnette cassée, frappez fort s’il vous plaît",
    "置き配でお願いします",
    "Καλέστε πριν την παράδοση",
    "Happy birthday, Zoë! 🥳🎂",
    "No rush, thanks",
    "Ring twice; the dog is friendly 🐕",
    "Deixar na portaria, obrigado",
    "Lämna vid dörren, tack",
    "Second floor,\nnot the first",
];

/// How customers pay, with how often.
pub(crate) const METHODS: [(&str, u64); 4] =
    [("card", 58), ("paypal", 24), ("invoice", 14), ("gift_card", 4)];
