using System.Text.Json;

namespace Flint.App.Cli;

/// <summary>JSON on standard output.</summary>
internal static class JsonOutput
{
    /// <summary>Prints what <paramref name="write"/> writes, and a line end.</summary>
    internal static void Write(Action<Utf8JsonWriter> write)
    {
        using Stream output = Console.OpenStandardOutput();
        using (var writer = new Utf8JsonWriter(output, new JsonWriterOptions { Indented = true }))
            write(writer);
        output.WriteByte((byte)'\n');
    }
}
