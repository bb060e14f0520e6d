# ruff: noqa: RUF001 - words of other scripts are the point
"""Words with which texts give orders to a model, by language: data, to be extended a row at a time. Regular expressions without unbounded repeats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OrderPhrases:
    """How a language says “ignore the instructions” and “do not tell the user”.

    Attributes:
        signs: pieces of words, one of which stands in every such verb: looked for first, because that is many times faster.
        dismiss: verbs that set something aside.
        orders: what is set aside.
        secrecy: keeping something from the person.
        person: pieces of words, one of which stands in every such phrase.
        either: the verb stands behind its object as often as before it.
    """

    signs: str
    dismiss: str
    orders: str
    secrecy: str = ""
    person: str = ""
    either: bool = False


PHRASES: Mapping[str, OrderPhrases] = {
    "en": OrderPhrases(
        "ignor disregard forget overrid bypass discard aside follow obey attention supersed",
        r"(?<!not )(?<!n't )(?<!never )\b(?:ignor(?:e|ing)|disregard(?:ing)?|forget|overrid(?:e|ing)|bypass|discard|set aside"
        r"|do not (?:follow|obey)|don't (?:follow|obey)"
        r"|stop (?:following|obeying)|pay no attention to|supersedes?)\b",
        r"\b(?:(?:previous|prior|earlier|above|preceding|former|foregoing|original|initial|existing|current|other|your|system|all|any"
        r"|safety)\b[\w' ,]{0,40}"
        r"\b(?:instructions?|rules?|prompts?|guidelines?|directions?|directives?|commands?|orders?|guardrails?|restrictions?|safeguards?|constraints?"
        r"|training|context|programming)|(?:instructions?|rules?|prompts?|guidelines?|orders?) (?:above|before|so far|(?:you (?:were"
        r"|have been) )?given)|everything (?:above|before|you (?:were|have been) told)|what (?:i|you were|you have been) (?:said|told)[\w ]{0,20})\b",
        r"\b(?:do not|don't|dont|never|without|avoid|no need to) (?:ever )?(?:tell|telling|mention|mentioning|inform|informing|notify|notifying|reveal"
        r"|revealing|alert|alerting|disclose|disclosing|let|letting)\b[\w' ]{0,30}\b(?:user|human|person|anyone|owner|customer|operator|this)\b"
        r"|\b(?:tell|report|say|mention|show) nothing (?:of this |about this )?to the (?:user|person|owner|customer)\b|\b(?:secretly"
        r"|silently|covertly|quietly) (?:send|forward|copy|upload|add|include|delete|run|post)\b",
        person="user human person anyone owner customer operator this secretly silently covertly quietly",
    ),
    "de": OrderPhrases(
        "ignorier vergiss vergessen missacht ubergeh verwirf beachte",
        r"\b(?:ignorier\w{0,4}|vergiss(?! nicht)|vergessen sie(?! nicht)|missachte\w{0,3}|ubergehe?n?|verwirf)\b|\bbeachte\w{0,2}\b[^.\n]{0,60}\bnicht\b",
        r"\b(?:anweisung(?:en)?|regeln?|vorgaben?|befehle?n?|richtlinien?|instruktion(?:en)?|systemprompts?)\b",
        r"\bohne (?:den |die )?(?:nutzer|benutzer|anwender|user)\w{0,3} zu\b|\b(?:sag|verrate|erzahle?) (?:es |das )?(?:dem|der"
        r"|den) (?:nutzer|benutzer)\w{0,2} nicht",
        person="nutzer anwender user",
    ),
    "fr": OrderPhrases(
        "ignore oublie neglige tien sui",
        r"\b(?<!n')(?:ignore[rz]?|oublie[rz]?|neglige[rz]?|ne ti(?:ens|ent|enez) (?:pas|plus) compte|ne sui[st] (?:pas|plus)|ne suivez (?:pas|plus))\b",
        r"\b(?:instructions?|consignes?|regles?|directives?|ordres?)\b",
        r"\bsans (?:en )?(?:informer|prevenir|avertir) (?:l'|la |le )?(?:utilisat\w{1,5}|personne)|\bne (?:le |la )?(?:dis|dites) (?:pas"
        r"|rien) a l'utilisat",
        person="utilisat personne",
    ),
    "es": OrderPhrases(
        "ignor olvid caso descart omit alto",
        r"(?<!no )\b(?:ignor[ae]n?|olvid[ae]n?|haz caso omiso|haga caso omiso|no hagas caso|descart[ae]|omit[ae]|pas[ae] por alto)\b",
        r"\b(?:instrucci(?:on|ones)|reglas?|indicaci(?:on|ones)|directrices|ordenes)\b",
        r"\bsin (?:avisar|informar|decir(?:le|selo)?)\b[^.\n]{0,12}\busuari[oa]|\bno (?:se lo |le )?digas? (?:nada )?al usuario",
        person="usuari",
    ),
    "it": OrderPhrases(
        "ignora dimentica trascura seguire scarta",
        r"(?<!non )\b(?:ignora(?:re|te)?|dimentica(?:re|te)?|trascura|non seguire|scarta)\b",
        r"\b(?:istruzion[ei]|regol[ae]|indicazion[ei]|direttiv[ae]|ordin[ei]|comand[oi])\b",
        r"\bsenza (?:informare|avvisare|dirlo)\b[^.\n]{0,12}\butente",
        person="utente",
    ),
    "pt": OrderPhrases(
        "ignor esquec desconsider desobedec sig",
        r"(?<!nao )\b(?:ignor[ea](?:r|m)?|esquec[ae](?:r|m)?|desconsider[ea]|desobedec[ae]|nao sig[ao])\b",
        r"\b(?:instruc(?:ao|oes)|regras?|diretrizes|orientac(?:ao|oes)|ordens|comandos?)\b",
        r"\bsem (?:avisar|informar|contar)\b[^.\n]{0,12}\b(?:usuari[oa]|utilizador)",
        person="usuari utilizador",
    ),
    "nl": OrderPhrases(
        "negeer vergeet negeren sla",
        r"(?<!niet )\b(?:negeer|vergeet|negeren|sla\b[^.\n]{0,40}\bover)\b",
        r"\b(?:instructies?|regels?|opdrachten|richtlijnen|aanwijzingen)\b",
        r"\bzonder\b[^.\n]{0,12}\bgebruiker\b[^.\n]{0,12}\b(?:te|iets)\b",
        person="gebruiker",
    ),
    "pl": OrderPhrases(
        "ignoruj zapomnij pomin przestrzegaj",
        r"\b(?:zignoruj|ignoruj|zapomnij|pomin|nie przestrzegaj)\b",
        r"\b(?:instrukcj\w{1,3}|polece\w{1,5}|zasad\w{0,2}|regul\w{0,2}|wytyczn\w{1,3})\b",
    ),
    "ru": OrderPhrases(
        "игнорируи забудь обращаи отбрось следуи",
        r"(?<!не )(?:проигнорируи|игнорируи|забудь|не обращаи|отбрось|не следуи)\w{0,4}",
        r"(?:инструкци|указани|правил|команд|предписани)\w{0,4}",
        r"не (?:говори|сообщаи|рассказываи)\w{0,3} (?:об этом )?пользовател",
        person="пользовател",
    ),
    "uk": OrderPhrases(
        "ігноруи забудь зважаи",
        r"(?<!не )(?:проігноруи|ігноруи|забудь|не зважаи)\w{0,4}",
        r"(?:інструкці|вказівк|правил|команд)\w{0,4}",
    ),
    "tr": OrderPhrases(
        "yok gormezden unut dikkate",
        r"\b(?:yok say\w{0,4}|gormezden gel\w{0,4}|unut\w{0,4}|dikkate alma\w{0,3})\b",
        r"\b(?:talimat\w{0,8}|kural\w{0,8}|yonerge\w{0,8})\b",
        either=True,
    ),
    "ar": OrderPhrases(
        "تجاهل انس تتبع",
        "(?:تجاهل|تجاهلي|انس|لا تتبع)",
        "(?:التعليمات|تعليمات|الأوامر|القواعد)",
        "لا تخبر المستخدم",
        person="المستخدم",
    ),
    "fa": OrderPhrases(
        "نادیده فراموش", "(?:نادیده بگیر|فراموش کن)", "(?:دستورالعمل|دستورات|دستور|قوانین)", either=True
    ),
    "he": OrderPhrases("התעלם שכח תציית", "(?:התעלם|התעלמי|שכח|אל תציית)", "(?:ההוראות|הוראות|הכללים|כללים|הנחיות)"),
    "hi": OrderPhrases("अनदेखा नज़रअंदाज़ भूल उपेक्षा", "(?:अनदेखा|नज़रअंदाज़|भूल जा|उपेक्षा)", "(?:निर्देश|नियम|आदेश)", either=True),
    "bn": OrderPhrases("উপেক্ষা ভুলে", "(?:উপেক্ষা|ভুলে যা)", "(?:নির্দেশ|নিয়ম)", either=True),
    "th": OrderPhrases("เพิกเฉย ละเว้น ลืม สนใจ", "(?:เพิกเฉย|ละเว้น|ลืม|ไม่ต้องสนใจ|ไม่สนใจ)", "(?:คำสั่ง|คำแนะนำ|กฎ)"),
    "vi": OrderPhrases(
        "bo quen phot", r"\b(?:bo qua|quen|phot lo)\b", r"(?:huong dan|chi dan|quy tac|menh lenh|chi thi)"
    ),
    "id": OrderPhrases(
        "abaikan lupakan", r"(?<!jangan )\b(?:abaikan|lupakan)\b", r"\b(?:instruksi|perintah|aturan|petunjuk)\b"
    ),
    "zh": OrderPhrases(
        "忽略 无视 忘 不要 無視 忽視",
        "(?<!不要)(?<!别)(?<!請勿)(?:忽略|无视|忘记|忘掉|不要遵循|不要遵守|不要理会|無視|忽視|忘記)",
        "(?:指令|指示|规则|提示词|命令|要求|規則|设定)",
        "(?:不要|别|請勿|请勿)(?:告诉|告知|通知|让)(?:用户|使用者)",
        person="用户 使用者",
    ),
    "ja": OrderPhrases(
        "無視 忘れ 従わ 破棄",
        "(?:無視|忘れて|忘れろ|従わない|破棄)",
        "(?:指示|命令|ルール|プロンプト|指令|規則)",
        "ユーザーに(?:は)?(?:言わない|知らせない|伝えない|教えない)",
        person="ユーザー",
        either=True,
    ),
    "ko": OrderPhrases(
        "무시 잊어 잊으 따르지",
        "(?:무시|잊어|잊으|따르지)",
        "(?:지시|명령|규칙|지침|프롬프트)",
        "사용자에게 (?:말하지|알리지)",
        person="사용자",
        either=True,
    ),
}
