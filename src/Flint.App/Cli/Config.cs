using System.CommandLine;
using System.Text.Encodings.Web;
using System.Text.Json;
using Flint.App.Config;

namespace Flint.App.Cli;

/// <summary><c>flint config</c>: checks a <c>flint.yaml</c>, and prints the schema of such files.</summary>
internal static class Config
{
    private const string Example = "flint.yaml"; // the resource: docs/flint.yaml

    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>The verb.</summary>
    public static Command Create() => new("config", "Check a configuration of flint serve.") { CreateCheck(), CreateSchema() };

    /// <summary>The JSON schema of <c>flint.yaml</c>.</summary>
    internal static string Schema()
    {
        using Stream stream = typeof(Config).Assembly.GetManifestResourceStream(Example)!;
        using var reader = new StreamReader(stream);
        return ServerConfig.Schema(reader.ReadToEnd()).ToJsonString(Indented);
    }

    private static Command CreateCheck()
    {
        var file = new Argument<string>("FILE") { Description = "The flint.yaml." };
        var command = new Command("check", "Say all that is wrong with a configuration, a line each. The models it names are not opened.") { file };
        command.SetAction(parsed =>
        {
            string path = parsed.GetValue(file)!;
            IReadOnlyList<string> faults = ServerConfig.Check(path);
            foreach (string fault in faults)
                Console.Error.WriteLine("flint: " + fault);
            if (faults.Count > 0)
                return CommandLine.Failed;
            Console.Out.WriteLine($"{path}: nothing is wrong");
            return 0;
        });
        return command;
    }

    private static Command CreateSchema()
    {
        var command = new Command("schema", "Print the JSON schema of such configurations, for editors.");
        command.SetAction(_ =>
        {
            Console.Out.WriteLine(Schema());
            return 0;
        });
        return command;
    }
}
