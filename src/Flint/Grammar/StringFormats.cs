namespace Flint.Grammar;

/// <summary>The formats of strings that are enforced, as regular expressions.</summary>
internal static class StringFormats
{
    // At most 63 characters, and none of the labels that stand for others (xn--), whose rules are of another kind.
    private const string Label = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,2}[A-Za-z0-9]|[A-Za-z0-9-](?:[A-Za-z0-9][A-Za-z0-9-]|-[A-Za-z0-9])[A-Za-z0-9-]{0,58}[A-Za-z0-9])?";
    private const string Host = Label + @"(?:\." + Label + ")*";
    private const int HostLength = 253;
    private const string Beyond = @"\u00A0-\uD7FF\uF900-\uFDCF\uFDF0-\uFFEF"; // RFC 3987, of the basic plane
    private const string Unreserved = "A-Za-z0-9._~";
    private const string Octet = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
    private const string IpV4 = "(?:" + Octet + @"\.){3}" + Octet;
    private const string Group = "[0-9A-Fa-f]{1,4}";

    private const string IpV6 = "(?:(?:" + Group + ":){7}" + Group + "|(?:" + Group + ":){1,7}:|(?:" + Group + ":){1,6}:" + Group + "|(?:" + Group + ":){1,5}(?::" + Group + "){2}|(?:" + Group + ":){1,4}(?::" + Group + "){3}|(?:"
        + Group + ":){1,3}(?::" + Group + "){4}|(?:" + Group + ":){1,2}(?::" + Group + "){5}|" + Group + ":(?::" + Group + "){6}|:(?:(?::" + Group + "){1,7}|:)|(?:" + Group + ":){6}" + IpV4 + "|::(?:" + Group + ":){0,5}" + IpV4 + "|(?:" + Group
        + ":){1,5}:" + IpV4 + "|(?:" + Group + ":){1,4}:" + Group + ":" + IpV4 + "|(?:" + Group + ":){1,3}(?::" + Group + "){2}:" + IpV4 + "|(?:" + Group + ":){1,2}(?::" + Group + "){3}:" + IpV4 + "|" + Group + ":(?::" + Group + "){4}:" + IpV4 + ")";

    // Days that a month has, and the 29th of February in leap years.
    private const string Date = "(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
        + "|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)";

    private const string Time = @"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])";
    private const string Atom = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+";
    private const string WideAtom = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~" + Beyond + "-]+";
    private const string Escape = "%[0-9A-Fa-f]{2}";
    private const string PathCharacter = "(?:[" + Unreserved + "!$&'()*+,;=:@-]|" + Escape + ")";
    private const string Authority = "(?:(?:[" + Unreserved + "!$&'()*+,;=:-]|" + Escape + @")*@)?(?:\[" + IpV6 + @"\]|(?:[" + Unreserved + "!$&'()*+,;=-]|" + Escape + ")*)(?::[0-9]*)?";
    private const string Path = "(?:/" + PathCharacter + "*)*";
    private const string Tail = @"(?:\?(?:" + PathCharacter + @"|[/?])*)?(?:#(?:" + PathCharacter + "|[/?])*)?";
    private const string Hierarchy = "(?://" + Authority + Path + "|/(?:" + PathCharacter + "+" + Path + ")?|" + PathCharacter + "+" + Path + "|)";
    private const string Uri = "[A-Za-z][A-Za-z0-9+.-]*:" + Hierarchy + Tail;
    private const string UriReference = "(?:" + Uri + "|(?://" + Authority + Path + "|/(?:" + PathCharacter + "+" + Path + ")?|(?:[" + Unreserved + "!$&'()*+,;=@-]|" + Escape + ")+" + Path + "|)" + Tail + ")";
    private const string Variable = "(?:[A-Za-z0-9_]|" + Escape + @")+(?:\.(?:[A-Za-z0-9_]|" + Escape + @")+)*(?:\*|:[1-9][0-9]{0,3})?";
    private const string Pointer = "(?:/(?:[^~/]|~[01])*)*";

    private static readonly Dictionary<string, string> Known = new(StringComparer.Ordinal)
    {
        ["date"] = Date,
        ["time"] = Time,
        ["date-time"] = Date + "[Tt]" + Time,
        ["duration"] = "P(?:[0-9]+W|(?:[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)(?:T" + Clock + ")?|T" + Clock + ")",
        ["email"] = Atom + @"(?:\." + Atom + ")*@" + Host,
        ["idn-email"] = WideAtom + @"(?:\." + WideAtom + ")*@" + Host,
        ["hostname"] = Host,
        ["idn-hostname"] = Host,
        ["ipv4"] = IpV4,
        ["ipv6"] = IpV6,
        ["uuid"] = "[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}",
        ["uri"] = Uri,
        ["uri-reference"] = UriReference,
        ["iri"] = Wide(Uri),
        ["iri-reference"] = Wide(UriReference),
        ["uri-template"] = "(?:[!#$&()*+,./0-9:;=?@A-Z\\[\\]_a-z~" + Beyond + "-]|" + Escape + @"|\{[+#./;?&]?" + Variable + "(?:," + Variable + @")*\})*",
        ["json-pointer"] = Pointer,
        ["relative-json-pointer"] = "(?:0|[1-9][0-9]*)(?:#|" + Pointer + ")",
        ["byte"] = "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?",
    };

    private const string Clock = "(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S)";

    /// <summary>The names of the formats.</summary>
    public static IEnumerable<string> Names => Known.Keys;

    /// <summary>The regular expression of a whole string of a format; null for one that is not enforced.</summary>
    public static string? Find(string format) => Known.TryGetValue(format, out string? pattern) ? $"^(?:{pattern})$" : null;

    /// <summary>The most characters of a string of a format.</summary>
    public static int MostOf(string format) => format is "hostname" or "idn-hostname" ? HostLength : Language.Unlimited;

    /// <summary>Whether the specifications say of a format which strings it has, so that it cannot be passed over.</summary>
    public static bool IsSpecified(string format) => format is "regex" || Known.ContainsKey(format);

    /// <summary>Whether all strings of a format are enforced as such, and not only the usual ones.</summary>
    public static bool IsWhole(string format) => format is "date" or "ipv4" or "ipv6" or "uuid" or "json-pointer" or "relative-json-pointer" or "byte";

    // The same with characters beyond ASCII.
    private static string Wide(string uri) => uri.Replace(Unreserved, Unreserved + Beyond, StringComparison.Ordinal);
}
