namespace Flint.Grammar;

/// <summary>The formats of strings that are enforced, as regular expressions.</summary>
internal static class StringFormats
{
    private const string Label = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
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
    private const string Escape = "%[0-9A-Fa-f]{2}";
    private const string PathCharacter = "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|" + Escape + ")";
    private const string Authority = @"(?:(?:[A-Za-z0-9._~!$&'()*+,;=:-]|" + Escape + @")*@)?(?:\[" + IpV6 + @"\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|" + Escape + ")*)(?::[0-9]*)?";
    private const string Path = "(?:/" + PathCharacter + "*)*";
    private const string Tail = @"(?:\?(?:" + PathCharacter + @"|[/?])*)?(?:#(?:" + PathCharacter + "|[/?])*)?";
    private const string Hierarchy = "(?://" + Authority + Path + "|/(?:" + PathCharacter + "+" + Path + ")?|" + PathCharacter + "+" + Path + "|)";
    private const string Uri = "[A-Za-z][A-Za-z0-9+.-]*:" + Hierarchy + Tail;
    private const string Pointer = "(?:/(?:[^~/]|~[01])*)*";

    private static readonly Dictionary<string, string> Known = new(StringComparer.Ordinal)
    {
        ["date"] = Date,
        ["time"] = Time,
        ["date-time"] = Date + "[Tt]" + Time,
        ["duration"] = "P(?:[0-9]+W|(?:[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)(?:T" + Clock + ")?|T" + Clock + ")",
        ["email"] = Atom + @"(?:\." + Atom + ")*@" + Label + @"(?:\." + Label + ")*",
        ["hostname"] = Label + @"(?:\." + Label + ")*",
        ["ipv4"] = IpV4,
        ["ipv6"] = IpV6,
        ["uuid"] = "[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}",
        ["uri"] = Uri,
        ["uri-reference"] = "(?:" + Uri + "|(?://" + Authority + Path + "|/(?:" + PathCharacter + "+" + Path + ")?|(?:[A-Za-z0-9._~!$&'()*+,;=@-]|" + Escape + ")+" + Path + "|)" + Tail + ")",
        ["json-pointer"] = Pointer,
        ["relative-json-pointer"] = "(?:0|[1-9][0-9]*)(?:#|" + Pointer + ")",
        ["byte"] = "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?",
    };

    private const string Clock = "(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S)";

    /// <summary>The names of the formats.</summary>
    public static IEnumerable<string> Names => Known.Keys;

    /// <summary>The regular expression of a whole string of a format; null for one that is not known.</summary>
    public static string? Find(string format) => Known.TryGetValue(format, out string? pattern) ? $"^(?:{pattern})$" : null;
}
