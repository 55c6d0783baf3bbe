namespace Flint.Tests.House;

/// <summary>The rooms of the house and the direction between them: the one table that the House test enforces.</summary>
internal static class Rooms
{
    /// <summary>Rooms of <c>src/Flint</c>: what each may use. The root (<c>FlintException</c>) is open to all.</summary>
    internal static readonly Dictionary<string, string[]> Engine = new()
    {
        ["Memory"] = [],
        ["Formats"] = ["Memory"],
        ["Weights"] = ["Memory", "Formats"],
        ["Kernels"] = ["Memory", "Formats"],
        ["Tokens"] = ["Memory", "Formats", "Weights"],
        ["Grammar"] = ["Memory", "Formats", "Weights", "Tokens"],
        ["Dialects"] = ["Memory", "Formats", "Weights", "Tokens", "Grammar"],
        ["Models"] = ["Memory", "Formats", "Weights", "Kernels"],
        ["Engine"] = ["Memory", "Formats", "Weights", "Kernels", "Tokens", "Grammar", "Models"],
        ["Contemplate"] = ["Memory", "Formats", "Weights", "Kernels", "Tokens", "Grammar", "Models", "Engine"],
        ["Training"] = ["Memory", "Formats", "Weights", "Kernels", "Tokens", "Dialects", "Models"],
    };

    private static readonly string[] AllOfEngine = [.. Engine.Keys];

    /// <summary>Rooms of <c>src/Flint.App</c>: what each may use, rooms of the engine included.</summary>
    internal static readonly Dictionary<string, string[]> App = new()
    {
        ["Accounts"] = [],
        ["Operations"] = ["Accounts"],
        ["Serving"] = [.. AllOfEngine, "Accounts"],
        ["Policy"] = [],
        ["Upstreams"] = [.. AllOfEngine, "Accounts", "Serving"],
        ["Config"] = [.. AllOfEngine, "Accounts", "Operations", "Policy", "Serving", "Upstreams"],
        ["Api"] = [.. AllOfEngine, "Accounts", "Operations", "Policy", "Serving", "Upstreams"],
        ["Nano"] = [.. AllOfEngine],
        ["Pictures"] = [],
        ["Recipes"] = [.. AllOfEngine, "Config", "Serving", "Nano", "Pictures"],
        ["Eval"] = [.. AllOfEngine, "Serving", "Nano", "Pictures"],
        ["Cli"] = [.. AllOfEngine, "Accounts", "Operations", "Policy", "Config", "Serving", "Upstreams", "Nano", "Eval", "Recipes"],
    };

    /// <summary>Single files that may use one room more, with the reason.</summary>
    internal static readonly Dictionary<string, string> Doors = new()
    {
        ["src/Flint.App/Cli/Serve.cs"] = "Api", // the verb that starts the server
    };

    /// <summary>A file longer than this is an exception.</summary>
    internal const int FileLines = 600;

    /// <summary>A method longer than this is an exception.</summary>
    internal const int MethodLines = 70;

    /// <summary>Files over <see cref="FileLines"/>, with the length they may not exceed. Lengths only ever go down.</summary>
    internal static readonly Dictionary<string, int> LongFiles = [];

    /// <summary>Methods over <see cref="MethodLines"/> (file:method), with the length they may not exceed. Lengths only ever go down.</summary>
    internal static readonly Dictionary<string, int> LongMethods = [];
}
