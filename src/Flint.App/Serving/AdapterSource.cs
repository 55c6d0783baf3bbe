using System.Text.RegularExpressions;

namespace Flint.App.Serving;

/// <summary>An adapter to serve a model with.</summary>
public sealed partial record AdapterSource
{
    /// <summary>Adapters of one model at most.</summary>
    public const int MaxAdapters = 256;

    /// <summary>Names an adapter.</summary>
    /// <param name="name">Its name after the model's in the API: letters, digits, <c>.</c>, <c>_</c> and <c>-</c>.</param>
    /// <param name="path">A GGUF file or a PEFT folder.</param>
    /// <exception cref="FlintException">Caller: the name is none.</exception>
    public AdapterSource(string name, string path)
    {
        if (!NameText().IsMatch(name))
            throw FlintException.Caller("invalid_adapter_name", $"The name of an adapter is 1 to 64 letters, digits, '.', '_' and '-'; found '{name}'.");
        Name = name;
        Path = path;
    }

    /// <summary>Its name after the model's.</summary>
    public string Name { get; }

    /// <summary>Its file or folder.</summary>
    public string Path { get; }

    [GeneratedRegex(@"^[A-Za-z0-9._-]{1,64}\z")]
    private static partial Regex NameText();
}
