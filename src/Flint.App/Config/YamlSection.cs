using System.Globalization;
using System.Runtime.ExceptionServices;
using System.Text.Json.Nodes;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace Flint.App.Config;

/// <summary>
/// A mapping of a YAML file, read strictly: a key that nobody asks for, a value of another type and a key given twice are
/// errors that name the file and the line. Reading shows what can be read: <see cref="Schema"/> is made of what was asked for.
/// </summary>
internal sealed class YamlSection
{
    /// <summary>The longest file, in bytes.</summary>
    internal const int MaxBytes = 1 << 16;

    // The parser calls itself for each level, of which a file can hold half as many as it has bytes.
    private const int ParserStack = 128 << 20;

    private readonly string _file;
    private readonly string _path;
    private readonly YamlMappingNode _map;
    private readonly List<FlintException>? _faults;
    private readonly Dictionary<string, JsonObject> _asked = new(StringComparer.Ordinal); // with the schema of what is expected
    private readonly HashSet<string> _required = new(StringComparer.Ordinal);
    private readonly List<(string Key, YamlSection Section)> _children = [];
    private bool _isOpen; // any key will do

    private YamlSection(string file, string path, YamlMappingNode map, List<FlintException>? faults)
    {
        _file = file;
        _path = path;
        _map = map;
        _faults = faults;
        foreach (YamlNode key in map.Children.Keys)
            if (key is not YamlScalarNode) throw Fault(key, "a key is not a word");
    }

    /// <summary>Reads a file that is one mapping.</summary>
    /// <param name="file">The file.</param>
    /// <param name="faults">Receives what is wrong in the mapping, while reading goes on; where it is null, the first fault is thrown.</param>
    /// <exception cref="FlintException">Caller: there is no such file, or it is not such YAML.</exception>
    internal static YamlSection Load(string file, List<FlintException>? faults = null)
    {
        if (!File.Exists(file)) throw FlintException.Caller("file_not_found", $"no such file: {file}");
        if (new FileInfo(file).Length > MaxBytes) throw FlintException.Caller("invalid_config", $"{file} is longer than {MaxBytes} bytes");
        return Read(file, File.ReadAllText(file), faults);
    }

    /// <summary>Reads the text of a file.</summary>
    /// <exception cref="FlintException">Caller: it is not such YAML.</exception>
    internal static YamlSection Read(string file, string text, List<FlintException>? faults = null)
    {
        YamlStream stream;
        try
        {
            stream = Parse(text);
        }
        catch (YamlException e)
        {
            throw FlintException.Caller("invalid_config", $"{file}:{e.Start.Line}: not YAML: {e.InnerException?.Message ?? e.Message}");
        }
        catch (InvalidOperationException)
        {
            // What the parser throws where a bracket is left open at the end of a line.
            throw FlintException.Caller("invalid_config", $"{file}: not YAML: a bracket is left open");
        }
        if (stream.Documents.Count != 1 || stream.Documents[0].RootNode is not YamlMappingNode map)
            throw FlintException.Caller("invalid_config", $"{file}:1: expected one mapping of keys to values");
        return new YamlSection(file, "", map, faults);
    }

    private static YamlStream Parse(string text)
    {
        var stream = new YamlStream();
        ExceptionDispatchInfo? fault = null;
        var parser = new Thread(() =>
        {
            try
            {
                stream.Load(new StringReader(text));
            }
            catch (Exception e)
            {
                fault = ExceptionDispatchInfo.Capture(e);
            }
        }, ParserStack);
        parser.Start();
        parser.Join();
        fault?.Throw();
        return stream;
    }

    /// <summary>Whether a key is there with a value.</summary>
    internal bool Has(string key) => Find(key) is not null;

    /// <summary>A mapping below this one; null where absent.</summary>
    internal YamlSection? Section(string key)
    {
        if (Find(key, OfType("object")) is not { } node) return null;
        return node is YamlMappingNode map ? Child(key, PathOf(key), map) : Fail(WrongType(node, key, "a mapping"), (YamlSection?)null);
    }

    /// <summary>A mapping that must be there; an empty one where it is not and faults are gathered.</summary>
    internal YamlSection RequiredSection(string key)
    {
        _required.Add(key);
        return Section(key) ?? Fail(Missing(key), new YamlSection(_file, PathOf(key), new YamlMappingNode(), _faults));
    }

    /// <summary>A list of mappings; none where absent.</summary>
    internal IReadOnlyList<YamlSection> Sections(string key)
    {
        if (Find(key, OfType("array")) is not { } node) return [];
        if (node is not YamlSequenceNode list) return Fail<YamlSection[]>(WrongType(node, key, "a list of mappings"), []);
        var sections = new List<YamlSection>();
        foreach (YamlNode one in list.Children)
        {
            if (one is YamlMappingNode map) sections.Add(Child(key, $"{PathOf(key)}[{sections.Count}]", map));
            else Fail(WrongType(one, key, "a list of mappings"), 0);
        }
        return sections;
    }

    /// <summary>A mapping of names to mappings, in order; none where absent.</summary>
    internal IReadOnlyList<(string Name, YamlSection Section)> Named(string key)
    {
        if (Find(key, Many("object", "named")) is not { } node) return [];
        if (node is not YamlMappingNode names) return Fail<(string, YamlSection)[]>(WrongType(node, key, "a mapping of names"), []);
        var sections = new List<(string, YamlSection)>();
        foreach ((YamlNode name, YamlNode value) in names.Children)
        {
            if (name is not YamlScalarNode { Value: { } word }) Fail(Fault(name, "a key is not a word"), 0);
            else if (value is YamlMappingNode map) sections.Add((word, Child(key, $"{PathOf(key)}.{word}", map)));
            else Fail(WrongType(value, $"{key}.{word}", "a mapping"), 0);
        }
        return sections;
    }

    /// <summary>A text; null where absent.</summary>
    internal string? Text(string key) => Find(key, OfType("string")) is { } node ? Scalar(node, key, "a text") : null;

    /// <summary>A text that must be there; empty where it is not and faults are gathered.</summary>
    internal string RequiredText(string key)
    {
        _required.Add(key);
        return Text(key) ?? Fail(Missing(key), "");
    }

    /// <summary>One of some texts; null where absent.</summary>
    internal string? Choice(string key, params string[] values)
    {
        if (Find(key, new JsonObject { ["enum"] = new JsonArray([.. values.Select(value => (JsonNode?)value)]) }) is not { } node) return null;
        string text = Scalar(node, key, "a text");
        return values.Contains(text) ? text : Fail(Fault(node, $"{PathOf(key)} is '{text}'; expected {string.Join(" or ", values)}"), (string?)null);
    }

    /// <summary>An integer; the fallback where absent.</summary>
    internal long Integer(string key, long fallback, long least, long most)
    {
        var schema = OfType("integer");
        (schema["minimum"], schema["maximum"]) = (least, most);
        if (Find(key, schema) is not { } node) return fallback;
        string text = Plain(node, key, "an integer").Replace("_", "");
        if (!long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long value)) return Fail(WrongType(node, key, "an integer"), fallback);
        return value >= least && value <= most ? value : Fail(Fault(node, $"{PathOf(key)} is {value}; expected {least} to {most}"), fallback);
    }

    /// <summary>An integer that must be there.</summary>
    internal int Required(string key, int least, int most)
    {
        _required.Add(key);
        return Has(key) ? (int)Integer(key, least, least, most) : Fail(Missing(key), least);
    }

    /// <summary>An integer of 32 bits; the fallback where absent.</summary>
    internal int Integer(string key, int fallback, int least = 0, int most = int.MaxValue) => (int)Integer(key, (long)fallback, least, most);

    /// <summary>An integer; null where absent.</summary>
    internal long? OptionalInteger(string key, long least, long most)
    {
        long value = Integer(key, least, least, most);
        return Has(key) ? value : null;
    }

    /// <summary>A number; the fallback where absent.</summary>
    internal float Number(string key, float fallback) => Number(key) ?? fallback;

    /// <summary>A number; null where absent.</summary>
    internal float? Number(string key) => Number(key, float.MinValue, float.MaxValue);

    /// <summary>A number in a range; null where absent.</summary>
    internal float? Number(string key, float least, float most)
    {
        var schema = OfType("number");
        if (least != float.MinValue) (schema["minimum"], schema["maximum"]) = (decimal.Parse(least.ToString()), decimal.Parse(most.ToString()));
        if (Find(key, schema) is not { } node) return null;
        if (!float.TryParse(Plain(node, key, "a number"), NumberStyles.Float, CultureInfo.InvariantCulture, out float value) || !float.IsFinite(value))
            return Fail(WrongType(node, key, "a number"), (float?)null);
        return value >= least && value <= most ? value : Fail(Fault(node, $"{PathOf(key)} is {value}; expected {least} to {most}"), (float?)null);
    }

    /// <summary>The text of a number, as exact as it is written; null where absent.</summary>
    internal string? Amount(string key) => Find(key, OfType("number")) is { } node ? Plain(node, key, "a number") : null;

    /// <summary>A truth value; the fallback where absent.</summary>
    internal bool Flag(string key, bool fallback)
    {
        if (Find(key, OfType("boolean")) is not { } node) return fallback;
        return Plain(node, key, "true or false") switch
        {
            "true" => true,
            "false" => false,
            _ => Fail(WrongType(node, key, "true or false"), fallback),
        };
    }

    /// <summary>A list of texts; one text alone is a list of one; null where absent.</summary>
    internal IReadOnlyList<string>? Texts(string key)
    {
        var list = OfType("array");
        list["items"] = OfType("string");
        if (Find(key, new JsonObject { ["anyOf"] = new JsonArray(OfType("string"), list) }) is not { } node) return null;
        if (node is YamlScalarNode) return [Scalar(node, key, "a text")];
        if (node is not YamlSequenceNode sequence) return Fail<string[]>(WrongType(node, key, "a list of texts"), []);
        return [.. sequence.Children.Select(one => Scalar(one, key, "a list of texts"))];
    }

    /// <summary>All entries of a mapping of texts to texts, in order.</summary>
    internal IReadOnlyList<(string Key, string Value)> Entries()
    {
        _isOpen = true;
        var entries = new List<(string, string)>();
        foreach (YamlNode key in _map.Children.Keys)
        {
            string name = ((YamlScalarNode)key).Value!;
            entries.Add((name, Text(name) ?? Fail(Missing(name), "")));
        }
        return entries;
    }

    /// <summary>A fault at the line of a key.</summary>
    internal FlintException Fault(string key, string what) => Find(key) is { } node ? Fault(node, what) : Fault(_map, what);

    /// <summary>Throws a fault at the line of a key, or gathers it.</summary>
    internal void Report(string key, string what) => Fail(Fault(key, what), 0);

    /// <summary>Makes something of what was read; what is wrong with it is a fault at the line of a key.</summary>
    /// <returns>Null where it was wrong and faults are gathered.</returns>
    internal T? Make<T>(string key, Func<T> make)
        where T : class
    {
        try
        {
            return make();
        }
        catch (FlintException fault) when (fault.Side == FaultSide.Caller)
        {
            Report(key, $"{PathOf(key)}: {fault.Message}");
            return null;
        }
    }

    /// <summary>Ends the reading: a key that was never asked for is an error, here and below.</summary>
    internal void Close()
    {
        foreach (YamlNode key in _map.Children.Keys)
        {
            string name = ((YamlScalarNode)key).Value ?? "";
            if (!_asked.ContainsKey(name))
                Fail(Fault(key, $"unknown key '{PathOf(name)}'; known here are {string.Join(", ", _asked.Keys.Order(StringComparer.Ordinal))}"), 0);
        }
        foreach ((_, YamlSection child) in _children) child.Close();
    }

    /// <summary>What was asked for, here and below, as a JSON schema: of a file that has everything, the schema of all files.</summary>
    internal JsonObject Schema() => SchemaOf([this]);

    // Of sections of one kind: what was asked of any of them.
    private static JsonObject SchemaOf(YamlSection[] sections)
    {
        if (sections[0]._isOpen) return new JsonObject { ["type"] = "object", ["additionalProperties"] = OfType("string") };
        var properties = new JsonObject();
        foreach (string key in sections.SelectMany(section => section._asked.Keys).Distinct())
        {
            JsonObject schema = sections.Select(section => section._asked.GetValueOrDefault(key)).OfType<JsonObject>().MaxBy(known => known.Count)!;
            schema = schema.DeepClone().AsObject();
            YamlSection[] below = [.. sections.SelectMany(section => section._children).Where(child => child.Key == key).Select(child => child.Section)];
            if (below.Length > 0)
            {
                JsonObject inner = SchemaOf(below);
                if ((string?)schema["type"] == "array") schema["items"] = inner;
                else if (schema.Remove("named")) schema["additionalProperties"] = inner;
                else schema = inner;
            }
            properties[key] = schema;
        }
        var whole = new JsonObject { ["type"] = "object", ["properties"] = properties, ["additionalProperties"] = false };
        string[] required = [.. sections[0]._required.Where(key => sections.All(section => section._required.Contains(key)))];
        if (required.Length > 0) whole["required"] = new JsonArray([.. required.Select(key => (JsonNode?)key)]);
        return whole;
    }

    private static JsonObject OfType(string type) => new() { ["type"] = type };

    private static JsonObject Many(string type, string mark) => new() { ["type"] = type, [mark] = true };

    private YamlSection Child(string key, string path, YamlMappingNode map)
    {
        var child = new YamlSection(_file, path, map, _faults);
        _children.Add((key, child));
        return child;
    }

    private T Fail<T>(FlintException fault, T instead)
    {
        if (_faults is null) throw fault;
        _faults.Add(fault);
        return instead;
    }

    private YamlNode? Find(string key, JsonObject? schema = null)
    {
        if (!_asked.TryGetValue(key, out JsonObject? known) || known.Count == 0) _asked[key] = schema ?? new JsonObject();
        return _map.Children.TryGetValue(new YamlScalarNode(key), out YamlNode? node)
            && node is not YamlScalarNode { Style: ScalarStyle.Plain, Value: null or "" or "null" or "~" } ? node : null;
    }

    private string Scalar(YamlNode node, string key, string expected) =>
        node is YamlScalarNode { Value: { } text } ? text : Fail(WrongType(node, key, expected), "");

    // A quoted number is a text.
    private string Plain(YamlNode node, string key, string expected) =>
        node is YamlScalarNode { Style: ScalarStyle.Plain } ? Scalar(node, key, expected) : Fail(WrongType(node, key, expected), "");

    private string PathOf(string key) => _path.Length == 0 ? key : $"{_path}.{key}";

    private FlintException Missing(string key) => Fault(_map, $"{PathOf(key)} is missing");

    private FlintException WrongType(YamlNode node, string key, string expected) =>
        Fault(node, $"{PathOf(key)} is {(node is YamlScalarNode scalar ? $"'{scalar.Value}'" : node is YamlSequenceNode ? "a list" : "a mapping")}; expected {expected}");

    private FlintException Fault(YamlNode node, string what) => FlintException.Caller("invalid_config", $"{_file}:{node.Start.Line}: {what}");
}
