using System.CommandLine;

namespace Flint.App.Cli;

/// <summary>Arguments and options that several verbs share, so that they read and behave alike.</summary>
internal static class Verb
{
    internal static Argument<string> Model() => new("MODEL")
    {
        Description = "A .gguf file (of a split model, any shard), or OWNER/REPO[:QUANT] of a pulled model.",
    };

    internal static Option<int> Threads() => Range(new Option<int>("--threads", "-t")
    {
        Description = "Threads that compute; 0 takes one per core.",
        HelpName = "N",
    }, 0, 1024);

    internal static Option<int> Range(Option<int> option, int least, int most)
    {
        option.Validators.Add(result =>
        {
            if (result.Tokens.Count == 1 && int.TryParse(result.Tokens[0].Value, out int value) && (value < least || value > most))
                result.AddError($"{option.Name} takes {least} to {most}, not {value}");
        });
        return option;
    }

    internal static Option<float> Range(Option<float> option, float least, float most)
    {
        option.Validators.Add(result =>
        {
            if (result.Tokens.Count == 1 && float.TryParse(result.Tokens[0].Value, out float value) && !(value >= least && value <= most))
                result.AddError($"{option.Name} takes {least} to {most}, not {value}");
        });
        return option;
    }
}
