using System.CommandLine;
using Flint.App.Serving;
using Flint.Formats;
using Flint.Kernels;

namespace Flint.App.Cli;

/// <summary>Arguments and options that several verbs share, so that they read and behave alike.</summary>
internal static class Verb
{
    /// <summary>The longest file that a verb reads whole.</summary>
    internal const int MaxInputBytes = 256 << 20;

    internal static Argument<string?> Model() => new("MODEL")
    {
        Arity = ArgumentArity.ZeroOrOne,
        Description = $"A .gguf file (of a split model, any shard), or OWNER/REPO[:QUANT] of a pulled model; without one, {BuiltinModel.Name}, which comes with Flint.",
    };

    /// <summary>The weight format of a name, in any case.</summary>
    /// <exception cref="FlintException">Caller: there is none of that name that can be written.</exception>
    internal static WeightType WeightType(string option, string name)
    {
        WeightType[] known = [.. Enum.GetValues<WeightType>().Where(WeightTypes.IsSupported)];
        int found = Array.FindIndex(known, t => WeightTypes.Name(t).Equals(name, StringComparison.OrdinalIgnoreCase));
        return found >= 0
            ? known[found]
            : throw FlintException.Caller("unsupported_weight_type", $"{option}: expected one of {string.Join(", ", known.Select(WeightTypes.Name))}, found '{name}'.");
    }

    internal static Option<string> InputFile(string description) => new("--file", "-f") { Description = description, Required = true, HelpName = "FILE" };

    /// <summary>Reads a whole file, or standard input for <c>-</c>.</summary>
    /// <exception cref="FlintException">Caller: no such file, or more than <see cref="MaxInputBytes"/>.</exception>
    internal static byte[] ReadInput(string path)
    {
        if (path != "-" && !File.Exists(path)) throw FlintException.Caller("file_not_found", $"no such file: {path}");
        using Stream input = path == "-" ? Console.OpenStandardInput() : File.OpenRead(path);
        using var bytes = new MemoryStream();
        var buffer = new byte[1 << 16];
        for (int read; (read = input.Read(buffer)) > 0;)
        {
            if (bytes.Length + read > MaxInputBytes)
                throw FlintException.Caller("file_too_long", $"{(path == "-" ? "standard input" : path)} is longer than {Sizes.Text(MaxInputBytes)}");
            bytes.Write(buffer, 0, read);
        }
        return bytes.ToArray();
    }

    internal static Option<int> Threads() => Range(new Option<int>("--threads", "-t")
    {
        Description = "Threads that compute; 0 takes one per core.",
        HelpName = "N",
    }, 0, 1024);

    internal static Option<KvFormat?> KvFormat()
    {
        var option = new Option<KvFormat?>("--kv-format")
        {
            Description = "How keys and values are kept: f32, f16, or q8 (8-bit). Usually f16; f32 where a whole context is small.",
            HelpName = "FORMAT",
        };
        option.AcceptOnlyFromAmong([.. Enum.GetNames<KvFormat>().Select(name => name.ToLowerInvariant())]);
        return option;
    }

    internal static Option<int?> Range(Option<int?> option, int least, int most)
    {
        Check(option, least, most);
        return option;
    }

    internal static Option<int> Range(Option<int> option, int least, int most)
    {
        Check(option, least, most);
        return option;
    }

    internal static Option<float> Range(Option<float> option, float least, float most)
    {
        Check(option, least, most);
        return option;
    }

    internal static Option<float?> Range(Option<float?> option, float least, float most)
    {
        Check(option, least, most);
        return option;
    }

    internal static Option<string?> OneOf(Option<string?> option, params string[] values)
    {
        option.AcceptOnlyFromAmong(values);
        return option;
    }

    private static void Check(Option option, float least, float most)
    {
        option.Validators.Add(result =>
        {
            if (result.Tokens.Count == 1 && float.TryParse(result.Tokens[0].Value, out float value) && !(value >= least && value <= most))
                result.AddError($"{option.Name} takes {least} to {most}, not {value}");
        });
    }

    private static void Check(Option option, int least, int most) => option.Validators.Add(result =>
    {
        if (result.Tokens.Count == 1 && int.TryParse(result.Tokens[0].Value, out int value) && (value < least || value > most))
            result.AddError($"{option.Name} takes {least} to {most}, not {value}");
    });
}
