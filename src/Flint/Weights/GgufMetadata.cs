using System.Collections;
using System.Diagnostics.CodeAnalysis;

namespace Flint.Weights;

/// <summary>
/// The key-value pairs of a GGUF file in file order. Values are kept in the types of the file: <c>byte</c> to <c>ulong</c>,
/// <c>float</c>, <c>double</c>, <c>bool</c>, <c>string</c>, arrays of these, and <c>object[]</c> for arrays of arrays.
/// </summary>
public sealed class GgufMetadata : IEnumerable<KeyValuePair<string, object>>
{
    private readonly string _file;
    private readonly List<KeyValuePair<string, object>> _pairs = [];
    private readonly Dictionary<string, object> _byKey = new(StringComparer.Ordinal);

    internal GgufMetadata(string file) => _file = file;

    /// <summary>The number of pairs.</summary>
    public int Count => _pairs.Count;

    /// <summary>The model family, <c>general.architecture</c>.</summary>
    /// <exception cref="FlintException">The file does not say (<see cref="FaultSide.ModelFile"/>).</exception>
    public string Architecture => Get<string>("general.architecture");

    /// <summary>Whether the file has the key.</summary>
    public bool Contains(string key) => _byKey.ContainsKey(key);

    /// <summary>
    /// Finds a value. Numbers are converted where nothing but precision is lost: integers to any integer type that holds the value,
    /// integers and floats to floats; arrays likewise, element by element.
    /// </summary>
    /// <returns>False where the key is absent or the value does not convert.</returns>
    public bool TryGet<T>(string key, [MaybeNullWhen(false)] out T value)
    {
        value = default;
        if (!_byKey.TryGetValue(key, out object? found) || GgufConversion.To(found, typeof(T)) is not T converted)
            return false;
        value = converted;
        return true;
    }

    /// <summary>The value of a key that must be there, converted as by <see cref="TryGet{T}"/>.</summary>
    /// <exception cref="FlintException">It is absent or does not convert (<see cref="FaultSide.ModelFile"/>).</exception>
    public T Get<T>(string key)
    {
        if (TryGet(key, out T? value))
            return value!;
        if (!_byKey.TryGetValue(key, out object? found))
            throw FlintException.File("metadata_missing", $"{_file}: metadata key '{key}' ({Name(typeof(T))}) is missing.");
        throw FlintException.File("metadata_type", $"{_file}: metadata key '{key}': expected {Name(typeof(T))}, found {Describe(found)}.");
    }

    /// <summary>The value of a key, or <paramref name="fallback"/> where the key is absent.</summary>
    /// <exception cref="FlintException">The value is there and does not convert (<see cref="FaultSide.ModelFile"/>).</exception>
    public T GetOr<T>(string key, T fallback) => _byKey.ContainsKey(key) ? Get<T>(key) : fallback;

    /// <summary>Enumerates the pairs in file order.</summary>
    public IEnumerator<KeyValuePair<string, object>> GetEnumerator() => _pairs.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    /// <summary>Adds a pair; false where the key is taken.</summary>
    internal bool TryAdd(string key, object value)
    {
        if (!_byKey.TryAdd(key, value))
            return false;
        _pairs.Add(new(key, value));
        return true;
    }

    private static string Describe(object value) => value switch
    {
        Array array => $"{Name(value.GetType())} of {array.Length}",
        string text => $"string {GgufReader.Quote(text)}",
        _ => $"{Name(value.GetType())} {value}",
    };

    private static string Name(Type type) => type.IsArray
        ? Name(type.GetElementType()!) + "[]"
        : type.Name switch
        {
            "Byte" => "uint8",
            "SByte" => "int8",
            "Single" => "float32",
            "Double" => "float64",
            "Boolean" => "bool",
            "Object" => "array",
            string name => name.ToLowerInvariant(),
        };
}
