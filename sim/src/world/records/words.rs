//! Words of several scripts. They make text of the right bytes, not of sense.

/// A language: its tag, how often it is met, what stands between its words, and some of its words.
pub(crate) struct Tongue {
    pub(crate) tag: &'static str,
    pub(crate) share: f64,
    pub(crate) space: &'static str,
    /// Bytes that say as much as one letter of English.
    pub(crate) width: f64,
    pub(crate) words: &'static [&'static str],
}

pub(crate) const TONGUES: [Tongue; 9] = [
    Tongue {
        tag: "en",
        share: 52.0,
        space: " ",
        width: 1.0,
        words: &[
            "the", "a", "of", "and", "to", "in", "this", "that", "river", "morning", "train", "coffee", "again", "we",
            "never", "garden", "bird", "winter", "street", "music", "quiet", "it's", "don't", "really", "think",
            "people", "light", "today", "small", "window", "letter", "story", "under", "blue", "sky", "friends",
        ],
    },
    Tongue {
        tag: "ja",
        share: 18.0,
        space: "",
        width: 1.9,
        words: &[
            "今日",
            "は",
            "の",
            "朝",
            "電車",
            "が",
            "を",
            "とても",
            "静か",
            "猫",
            "コーヒー",
            "です",
            "ました",
            "。",
            "雨",
            "音楽",
            "好き",
            "だった",
            "みんな",
            "おはよう",
            "ございます",
            "、",
            "夜",
            "空",
            "本当に",
            "！",
        ],
    },
    Tongue {
        tag: "pt",
        share: 11.0,
        space: " ",
        width: 1.0,
        words: &["o", "a", "de", "que", "não", "amanhã", "café", "coração", "muito", "hoje", "música", "chuva", "rua"],
    },
    Tongue {
        tag: "de",
        share: 6.0,
        space: " ",
        width: 1.0,
        words: &["der", "die", "und", "Straße", "heute", "schön", "Zug", "grün", "Kaffee", "wieder", "Müller", "für"],
    },
    Tongue {
        tag: "es",
        share: 5.0,
        space: " ",
        width: 1.0,
        words: &["el", "la", "que", "mañana", "niño", "¿qué?", "canción", "lluvia", "calle", "también", "corazón"],
    },
    Tongue {
        tag: "ru",
        share: 3.0,
        space: " ",
        width: 1.7,
        words: &["и", "не", "утро", "поезд", "кофе", "очень", "тихо", "улица", "снова", "окно", "зима", "сегодня"],
    },
    Tongue {
        tag: "ar",
        share: 2.0,
        space: " ",
        width: 1.6,
        words: &["في", "من", "صباح", "القهوة", "اليوم", "المطر", "شارع", "قلب", "جميل", "مرة", "أخرى"],
    },
    Tongue {
        tag: "hi",
        share: 1.5,
        space: " ",
        width: 2.4,
        words: &["और", "का", "सुबह", "आज", "बारिश", "कॉफ़ी", "बहुत", "संगीत", "सड़क", "फिर", "नहीं"],
    },
    Tongue {
        tag: "th",
        share: 1.5,
        space: "",
        width: 2.4,
        words: &["วันนี้", "ฝน", "ตก", "กาแฟ", "เช้า", "รถไฟ", "มาก", "เพลง", "บ้าน", "แมว"],
    },
];

/// Things that stand between words now and then; some are several code points.
pub(crate) const SPICE: [&str; 14] =
    ["🦋", "😂", "👩‍🚀", "🏳️‍🌈", "❤️", "\n\n", "\n", "!", "…", "—", "\"so\"", "<3", "R&D", "e\u{301}"];
