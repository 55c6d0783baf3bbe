using System.Globalization;
using System.Runtime.ExceptionServices;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace Flint.App.Recipes;

/// <summary>
/// A mapping of a YAML file, read strictly: a key that nobody asks for, a value of another type and a key given twice are
/// errors that name the file and the line.
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
    private readonly HashSet<string> _asked = new(StringComparer.Ordinal);
    private readonly List<YamlSection> _children = [];

    private YamlSection(string file, string path, YamlMappingNode map)
    {
        _file = file;
        _path = path;
        _map = map;
        foreach (YamlNode key in map.Children.Keys)
            if (key is not YamlScalarNode) throw Fault(key, "a key is not a word");
    }

    /// <summary>Reads a file that is one mapping.</summary>
    /// <exception cref="FlintException">Caller: there is no such file, or it is not such YAML.</exception>
    internal static YamlSection Load(string file)
    {
        if (!File.Exists(file)) throw FlintException.Caller("file_not_found", $"no such file: {file}");
        if (new FileInfo(file).Length > MaxBytes) throw FlintException.Caller("invalid_config", $"{file} is longer than {MaxBytes} bytes");
        YamlStream stream;
        try
        {
            stream = Parse(File.ReadAllText(file));
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
        return new YamlSection(file, "", map);
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
        if (Find(key) is not { } node) return null;
        if (node is not YamlMappingNode map) throw WrongType(node, key, "a mapping");
        var child = new YamlSection(_file, PathOf(key), map);
        _children.Add(child);
        return child;
    }

    /// <summary>A mapping that must be there.</summary>
    internal YamlSection RequiredSection(string key) => Section(key) ?? throw Missing(key);

    /// <summary>A text; null where absent.</summary>
    internal string? Text(string key) => Find(key) is { } node ? Scalar(node, key, "a text") : null;

    /// <summary>A text that must be there.</summary>
    internal string RequiredText(string key) => Text(key) ?? throw Missing(key);

    /// <summary>An integer; the fallback where absent.</summary>
    internal long Integer(string key, long fallback, long least, long most)
    {
        if (Find(key) is not { } node) return fallback;
        string text = Plain(node, key, "an integer").Replace("_", "");
        if (!long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long value)) throw WrongType(node, key, "an integer");
        return value >= least && value <= most ? value : throw Fault(node, $"{PathOf(key)} is {value}; expected {least} to {most}");
    }

    /// <summary>An integer that must be there.</summary>
    internal int Required(string key, int least, int most) =>
        Has(key) ? (int)Integer(key, 0, least, most) : throw Missing(key);

    /// <summary>An integer of 32 bits; the fallback where absent.</summary>
    internal int Integer(string key, int fallback, int least = 0, int most = int.MaxValue) => (int)Integer(key, (long)fallback, least, most);

    /// <summary>A number; the fallback where absent.</summary>
    internal float Number(string key, float fallback) => Number(key) ?? fallback;

    /// <summary>A number; null where absent.</summary>
    internal float? Number(string key)
    {
        if (Find(key) is not { } node) return null;
        return float.TryParse(Plain(node, key, "a number"), NumberStyles.Float, CultureInfo.InvariantCulture, out float value) && float.IsFinite(value)
            ? value : throw WrongType(node, key, "a number");
    }

    /// <summary>A truth value; the fallback where absent.</summary>
    internal bool Flag(string key, bool fallback)
    {
        if (Find(key) is not { } node) return fallback;
        return Plain(node, key, "true or false") switch
        {
            "true" => true,
            "false" => false,
            _ => throw WrongType(node, key, "true or false"),
        };
    }

    /// <summary>A list of texts; one text alone is a list of one; null where absent.</summary>
    internal IReadOnlyList<string>? Texts(string key)
    {
        if (Find(key) is not { } node) return null;
        if (node is YamlScalarNode) return [Scalar(node, key, "a text")];
        if (node is not YamlSequenceNode list) throw WrongType(node, key, "a list of texts");
        return [.. list.Children.Select(one => Scalar(one, key, "a list of texts"))];
    }

    /// <summary>All entries of a mapping of texts to texts, in order.</summary>
    internal IReadOnlyList<(string Key, string Value)> Entries()
    {
        var entries = new List<(string, string)>();
        foreach (YamlNode key in _map.Children.Keys)
        {
            string name = ((YamlScalarNode)key).Value!;
            entries.Add((name, RequiredText(name)));
        }
        return entries;
    }

    /// <summary>A fault at the line of a key.</summary>
    internal FlintException Fault(string key, string what) => Find(key) is { } node ? Fault(node, what) : Fault(_map, what);

    /// <summary>Ends the reading: a key that was never asked for is an error, here and below.</summary>
    internal void Close()
    {
        foreach (YamlNode key in _map.Children.Keys)
        {
            string name = ((YamlScalarNode)key).Value ?? "";
            if (!_asked.Contains(name))
                throw Fault(key, $"unknown key '{PathOf(name)}'; known here are {string.Join(", ", _asked.Order(StringComparer.Ordinal))}");
        }
        foreach (YamlSection child in _children) child.Close();
    }

    private YamlNode? Find(string key)
    {
        _asked.Add(key);
        return _map.Children.TryGetValue(new YamlScalarNode(key), out YamlNode? node)
            && node is not YamlScalarNode { Style: ScalarStyle.Plain, Value: null or "" or "null" or "~" } ? node : null;
    }

    private string Scalar(YamlNode node, string key, string expected) =>
        node is YamlScalarNode { Value: { } text } ? text : throw WrongType(node, key, expected);

    // A quoted number is a text.
    private string Plain(YamlNode node, string key, string expected) =>
        node is YamlScalarNode { Style: ScalarStyle.Plain } ? Scalar(node, key, expected) : throw WrongType(node, key, expected);

    private string PathOf(string key) => _path.Length == 0 ? key : $"{_path}.{key}";

    private FlintException Missing(string key) => Fault(_map, $"{PathOf(key)} is missing");

    private FlintException WrongType(YamlNode node, string key, string expected) =>
        Fault(node, $"{PathOf(key)} is {(node is YamlScalarNode scalar ? $"'{scalar.Value}'" : node is YamlSequenceNode ? "a list" : "a mapping")}; expected {expected}");

    private FlintException Fault(YamlNode node, string what) => FlintException.Caller("invalid_config", $"{_file}:{node.Start.Line}: {what}");
}
